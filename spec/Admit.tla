------------------------------- MODULE Admit -------------------------------
(***************************************************************************)
(* What ingest takes for true.  Two gateways keep records in journals, and *)
(* one of them may lie: links of the device, hellos and messages of its    *)
(* two boots come in any order and any number of times, and with them what *)
(* a gateway can make of them: altered, moved, stolen.                     *)
(*                                                                         *)
(* A hello counts where its link does: boot b was said on link b, which is *)
(* at gateway b.  A message counts where its boot's hello does; before,    *)
(* nobody can tell it from a forgery, and it waits.  What is known, what   *)
(* waits and what is stored change in one transaction with the cursor.     *)
(*                                                                         *)
(* The code: src/core/ingest/admit.c.  Its world: sim/explore,             *)
(* world_admit.c; both have the same states.                               *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Arriving,       \* the items that come
    WaitingRoom,    \* how many records may wait for their hello
    Room            \* records in the journals beyond the cursor

VARIABLES
    disk,       \* what ingest knows, as it was last committed
    ram,        \* the same as ingest has it
    journal,    \* the records from the committed cursor on
    read,       \* how many of them ingest has read
    linked      \* links that have come: each is made once

vars == <<disk, ram, journal, read, linked>>

Links == {"link 1", "link 2"}
Hellos == {"hello 1", "hello 2"}
Messages == {"message 1", "message 2", "message 3"}     \* the third is of boot 2
ForgedHellos == {"hello 2 altered", "hello 2 at gateway 1"}
ForgedMessages == {"message 2 altered", "message 3 in another stream"}

BootOf(item) ==
    IF item \in {"link 1", "hello 1", "message 1", "message 2", "message 2 altered"} THEN 1 ELSE 2

-----------------------------------------------------------------------------
(* What becomes of ingest's knowledge `k` when it reads an item. *)

Refused(k, item) ==
    IF item \in Messages THEN [k EXCEPT !.refused = @ \cup {item}] ELSE k

Waits(k, item) ==
    IF Len(k.waiting) < WaitingRoom THEN [k EXCEPT !.waiting = Append(@, item)]
    ELSE Refused(k, item)

(* Its number is looked up in the received set. *)
Judged(k, item) ==
    IF item \in ForgedMessages THEN k
    ELSE IF k.applied[item] > 0 THEN k
    ELSE [k EXCEPT !.applied[item] = @ + 1]

(* The n-th of those that wait and are not of this boot. *)
Staying(k, boot) == {i \in 1..Len(k.waiting) : BootOf(k.waiting[i]) # boot}
Nth(S, n) == CHOOSE i \in S : Cardinality({j \in S : j < i}) = n - 1
StillWaiting(k, boot) ==
    [n \in 1..Cardinality(Staying(k, boot)) |-> k.waiting[Nth(Staying(k, boot), n)]]

(* A new boot: those that waited for it are judged, once each. *)
Greeted(k, boot) ==
    LET due == {m \in Messages : \E i \in 1..Len(k.waiting) : k.waiting[i] = m /\ BootOf(m) = boot}
    IN [k EXCEPT !.boots = @ \cup {boot},
                 !.waiting = StillWaiting(k, boot),
                 !.applied = [m \in Messages |-> IF m \in due THEN Judged(k, m).applied[m] ELSE @[m]]]

Known(k, item) ==
    IF item \in Links THEN [k EXCEPT !.links = @ \cup {BootOf(item)}]
    ELSE IF k.links = {} THEN Refused(k, item)          \* nobody vouches for such a device
    ELSE IF item \in ForgedHellos THEN k
    ELSE IF item \in Hellos
    THEN IF BootOf(item) \in k.links /\ BootOf(item) \notin k.boots THEN Greeted(k, BootOf(item)) ELSE k
    ELSE IF BootOf(item) \in k.boots THEN Judged(k, item) ELSE Waits(k, item)

-----------------------------------------------------------------------------
Nothing ==
    [links |-> {}, boots |-> {}, waiting |-> <<>>, refused |-> {}, applied |-> [m \in Messages |-> 0]]

Init == disk = Nothing /\ ram = Nothing /\ journal = <<>> /\ read = 0 /\ linked = {}

Arrive(item) ==
    /\ Len(journal) < Room /\ item \notin linked
    /\ journal' = Append(journal, item)
    /\ linked' = IF item \in Links THEN linked \cup {item} ELSE linked
    /\ UNCHANGED <<disk, ram, read>>

Read ==
    /\ read < Len(journal)
    /\ ram' = Known(ram, journal[read + 1])
    /\ read' = read + 1
    /\ UNCHANGED <<disk, journal, linked>>

Commit ==
    /\ read > 0
    /\ disk' = ram
    /\ journal' = SubSeq(journal, read + 1, Len(journal))
    /\ read' = 0
    /\ UNCHANGED <<ram, linked>>

Cut ==
    /\ ram' = disk
    /\ read' = 0
    /\ UNCHANGED <<disk, journal, linked>>

Next ==
    \/ \E item \in Arriving : Arrive(item)
    \/ Read
    \/ Commit
    \/ Cut

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* A boot is known by its own link, what is stored by its boot, and no forgery is: it has no place
   in `applied`, and at most waits. *)
OnlyAuthentic ==
    /\ ram.boots \subseteq ram.links
    /\ \A m \in Messages : ram.applied[m] > 0 => BootOf(m) \in ram.boots
    /\ \A i \in 1..Len(ram.waiting) : BootOf(ram.waiting[i]) \notin ram.boots

OnceApplied == \A m \in Messages : ram.applied[m] <= 1

Kept(k, m) ==
    k.applied[m] > 0 \/ m \in k.refused \/ \E i \in 1..Len(k.waiting) : k.waiting[i] = m

(* What the cursor has passed is applied, waits, or was refused with a reason, and stays so. *)
AckedIsKept ==
    [][\A m \in Messages :
        \/ Kept(disk', m)
        \/ ~Kept(disk, m) /\ (Len(journal') >= Len(journal) \/ \A i \in 1..read : journal[i] # m)]_vars

BoundedCost == Len(ram.waiting) <= WaitingRoom /\ Len(journal) <= Room
=============================================================================
