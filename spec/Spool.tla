-------------------------------- MODULE Spool -------------------------------
(***************************************************************************)
(* From a device's outbox through a gateway's session and its spool to     *)
(* ingest: what an acknowledgement promises when links and power go.       *)
(*                                                                         *)
(* The gateway stages a message, makes all that is staged durable with     *)
(* one sync, and only then acknowledges.  A device sends again what was    *)
(* not acknowledged.  Of what was not durable a power cut leaves any       *)
(* prefix.  A full spool takes a message when there is room again.         *)
(*                                                                         *)
(* The code: src/core/device/outbox.c, src/core/gateway/session.c.  Their  *)
(* world: sim/explore/world_spool.c; both have the same states.            *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Messages,   \* how many the device has to say, numbered from 1
    Window,     \* how many it may have under way
    Room        \* records in the spool

VARIABLES
    message,    \* "waiting", "sent" or "gone", of each message
    up,         \* is there a link?
    inflight,   \* at the gateway: messages to be acknowledged, with their place in the spool
    held,       \* a message that found no room and comes again; 0: none
    acks,       \* acknowledgements on their way to the device
    spool,      \* the records, oldest first
    durable,    \* how many of them are durable
    syncing,    \* how many the sync under way makes durable; 0: none is
    cursor,     \* how many ingest has read
    applied,    \* messages that are in the store
    promised    \* messages whose acknowledgement left the gateway

vars == <<message, up, inflight, held, acks, spool, durable, syncing, cursor, applied, promised>>
link == <<message, up, inflight, held, acks>>
disk == <<spool, durable, syncing, cursor>>

All == 1..Messages
In(state) == {m \in All : message[m] = state}
Oldest(S) == CHOOSE m \in S : \A n \in S : m <= n

-----------------------------------------------------------------------------
Init ==
    /\ message = [m \in All |-> "waiting"]
    /\ up = FALSE /\ inflight = <<>> /\ held = 0 /\ acks = <<>>
    /\ spool = <<>> /\ durable = 0 /\ syncing = 0 /\ cursor = 0
    /\ applied = {} /\ promised = {}

Connect ==
    /\ ~up
    /\ up' = TRUE
    /\ UNCHANGED <<message, inflight, held, acks, disk, applied, promised>>

Publish ==
    /\ up /\ held = 0 /\ In("waiting") # {} /\ Cardinality(In("sent")) < Window
    /\ LET m == Oldest(In("waiting"))
       IN /\ message' = [message EXCEPT ![m] = "sent"]
          /\ IF Len(spool) < Room
             THEN /\ spool' = Append(spool, m)
                  /\ inflight' = Append(inflight, [message |-> m, place |-> Len(spool) + 1])
                  /\ held' = 0
             ELSE /\ held' = m
                  /\ UNCHANGED <<spool, inflight>>
    /\ UNCHANGED <<up, acks, durable, syncing, cursor, applied, promised>>

Flush ==
    /\ syncing = 0 /\ durable < Len(spool)
    /\ syncing' = Len(spool)
    /\ UNCHANGED <<link, spool, durable, cursor, applied, promised>>

(* The places in `inflight` rise: those that are due are its first ones. *)
Due == Cardinality({i \in 1..Len(inflight) : inflight[i].place <= syncing})

Synced ==
    /\ syncing # 0
    /\ durable' = syncing /\ syncing' = 0
    /\ acks' = acks \o [i \in 1..Due |-> inflight[i].message]
    /\ inflight' = SubSeq(inflight, Due + 1, Len(inflight))
    /\ promised' = promised \cup {inflight[i].message : i \in 1..Due}
    /\ UNCHANGED <<message, up, held, spool, cursor, applied>>

Acked ==
    /\ acks # <<>>
    /\ message' = [message EXCEPT ![Head(acks)] = "gone"]
    /\ acks' = Tail(acks)
    /\ UNCHANGED <<up, inflight, held, disk, applied, promised>>

LinkDown ==
    /\ message' = [m \in All |-> IF message[m] = "sent" THEN "waiting" ELSE message[m]]
    /\ up' = FALSE /\ inflight' = <<>> /\ held' = 0 /\ acks' = <<>>

Lost == up /\ LinkDown /\ UNCHANGED <<disk, applied, promised>>

Cut ==
    /\ LinkDown
    /\ \E kept \in durable..Len(spool) :
           /\ spool' = SubSeq(spool, 1, kept)
           /\ durable' = kept
    /\ syncing' = 0
    /\ UNCHANGED <<cursor, applied, promised>>

Apply ==
    /\ cursor < durable
    /\ applied' = applied \cup {spool[cursor + 1]}
    /\ cursor' = cursor + 1
    /\ UNCHANGED <<link, spool, durable, syncing, promised>>

(* What ingest has read is removed; the message that waits for room is taken. *)
Retain ==
    /\ cursor > 0
    /\ LET left == SubSeq(spool, cursor + 1, Len(spool))
           moved == [i \in 1..Len(inflight) |->
                        [inflight[i] EXCEPT !.place = inflight[i].place - cursor]]
       IN IF held = 0
          THEN spool' = left /\ inflight' = moved
          ELSE /\ spool' = Append(left, held)
               /\ inflight' = Append(moved, [message |-> held, place |-> Len(left) + 1])
    /\ held' = 0
    /\ durable' = durable - cursor
    /\ syncing' = IF syncing = 0 THEN 0 ELSE syncing - cursor
    /\ cursor' = 0
    /\ UNCHANGED <<message, up, acks, applied, promised>>

Next == Connect \/ Publish \/ Flush \/ Synced \/ Acked \/ Lost \/ Cut \/ Apply \/ Retain

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
TypeOK ==
    /\ message \in [All -> {"waiting", "sent", "gone"}]
    /\ cursor <= durable /\ durable <= Len(spool) /\ Len(spool) <= Room
    /\ Len(inflight) <= Window

(* An acknowledged message is applied, or durable where ingest will read it. *)
AckedIsKept ==
    /\ \A m \in promised : m \in applied \/ \E i \in (cursor + 1)..durable : spool[i] = m
    /\ In("gone") \subseteq promised

(* Nobody waits for what will not come by itself. *)
Answered ==
    /\ (up /\ durable = Len(spool)) => inflight = <<>>
    /\ held # 0 => Len(spool) = Room
=============================================================================
