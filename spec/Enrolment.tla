------------------------------ MODULE Enrolment -----------------------------
(***************************************************************************)
(* A device enrols and renews; answers are lost at every stage, the power  *)
(* goes at any moment on either side, a request outlives its connection.   *)
(* The device stores a key, then asks with it until it has a certificate.  *)
(* Control decides, has the keeper sign (in the order asked), makes that   *)
(* durable, then answers.  A certificate is named by its key: 1, 2, ...    *)
(*                                                                         *)
(* The code: src/core/device/enroll.c, src/core/control/enrolment.c.       *)
(* Their world: sim/explore/world_enrol.c; both have the same states.      *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets
CONSTANTS
    Keys, Resets,   \* keys that the device makes; identities that an operator removes
    Signing         \* how many requests may lie at the keeper

VARIABLES
    state,      \* of the device: "off", or what it is about
    renewal,    \* it has an identity, and asks by it
    made,       \* keys so far
    identity, nextKey,  \* the keys of the stored identity and of the stored next one; 0: none
    lingers,    \* the next key's removal is not durable yet
    call,       \* the request under way, as the device has it
    pending,    \* at the keeper
    registry,   \* the site's rows of this device
    reports,    \* certificates seen in use, of which control has not heard
    resets      \* how often an operator still may

files == <<identity, nextKey, lingers, made>>
site == <<pending, registry, reports>>
vars == <<state, renewal, files, call, site, resets>>

All == 1..Keys
NoCall == [kind |-> "none", key |-> 0, peer |-> 0]      \* peer 0: the hardware's identity
Deaf(s) == [i \in 1..Len(s) |-> [s[i] EXCEPT !.waited = FALSE]]
StopListening == call' = NoCall /\ pending' = Deaf(pending)

-----------------------------------------------------------------------------
Live(r) == {k \in All : r.cert[k] \in {"current", "previous"}}
Newest(S, gen) == CHOOSE k \in S : \A other \in S : gen[other] <= gen[k]
Kept(r) ==      \* the newest that was seen in use, or where none was, the newest
    IF Live(r) \cap r.seen # {} THEN Newest(Live(r) \cap r.seen, r.gen) ELSE Newest(Live(r), r.gen)

AfterIssue(from, byHardware) == IF from = "expected" THEN "enrolled"
                                ELSE IF from = "active" /\ byHardware THEN "re-enrolling" ELSE from
Moves == {<<"expected", "enrolled">>, <<"enrolled", "active">>, <<"active", "re-enrolling">>, <<"re-enrolling", "active">>}

Issued(r, key, to) ==
    [known |-> TRUE, state |-> to, seen |-> r.seen,
     gen |-> [r.gen EXCEPT ![key] = Cardinality({k \in All : r.gen[k] # 0}) + 1],
     cert |-> [k \in All |-> IF k = key THEN "current" ELSE IF r.cert[k] = "none" THEN "none"
                             ELSE IF k \in Live(r) /\ k = Kept(r) THEN "previous" ELSE "superseded"]]

Awaits(r) == r.state \in {"enrolled", "re-enrolling"}
Seen(r, key) ==
    IF key \notin Live(r) \/ (r.cert[key] = "current" /\ key \in r.seen /\ ~Awaits(r)) THEN r
    ELSE [r EXCEPT !.seen = @ \cup {key}, !.state = IF Awaits(r) THEN "active" ELSE @,
                   !.cert = [k \in All |-> IF r.cert[k] # "none" /\ r.gen[k] < r.gen[key]
                                           THEN "superseded" ELSE r.cert[k]]]

-----------------------------------------------------------------------------
Init ==
    /\ state = "off" /\ renewal = FALSE /\ made = 0 /\ identity = 0 /\ nextKey = 0 /\ lingers = FALSE
    /\ call = NoCall /\ pending = <<>> /\ reports = {} /\ resets = Resets
    /\ registry = [known |-> FALSE, state |-> "expected", seen |-> {},
                   cert |-> [k \in All |-> "none"], gen |-> [k \in All |-> 0]]

MakeKey == made < Keys /\ made' = made + 1 /\ state' = "no-key"
Start ==
    /\ state = "off" /\ lingers' = FALSE /\ renewal' = (identity # 0)
    /\ nextKey' = IF nextKey = identity THEN 0 ELSE nextKey     \* it was spent
    /\ IF identity = 0 /\ nextKey = 0 THEN MakeKey
       ELSE state' = (IF nextKey' # 0 THEN "waiting" ELSE "active") /\ UNCHANGED made
    /\ UNCHANGED <<identity, call, site, resets>>
Renew == state = "active" /\ MakeKey
         /\ UNCHANGED <<renewal, identity, nextKey, lingers, call, site, resets>>
KeyStored == state = "no-key" /\ state' = "waiting" /\ nextKey' = made
             /\ UNCHANGED <<renewal, made, identity, lingers, call, site, resets>>
Ask == state = "waiting" /\ state' = "asking"
       /\ call' = [kind |-> "asked", key |-> nextKey, peer |-> IF renewal THEN identity ELSE 0]
       /\ UNCHANGED <<renewal, files, site, resets>>

Request == [key |-> call.key, first |-> call.peer = 0, waited |-> TRUE, new |-> ~registry.known,
            from |-> registry.state, to |-> AfterIssue(registry.state, call.peer = 0)]
Says(kind) == call' = [call EXCEPT !.kind = kind]
Decide ==
    /\ call.kind = "asked"
    /\ LET has == registry.cert[call.key] # "none"
           refused == (call.peer # 0 /\ call.peer \notin Live(registry)) \/ (has /\ call.key \notin Live(registry))
       IN /\ registry' = IF refused \/ call.peer = 0 THEN registry ELSE Seen(registry, call.peer)
          /\ IF refused THEN Says("refused") /\ UNCHANGED pending
             ELSE IF has THEN Says("certificate") /\ UNCHANGED pending
             ELSE IF Len(pending) < Signing THEN Says("signing") /\ pending' = Append(pending, Request)
             ELSE Says("later") /\ UNCHANGED pending
    /\ UNCHANGED <<state, renewal, files, reports, resets>>

Signed ==       \* decided anew where the device has moved since
    /\ pending # <<>> /\ pending' = Tail(pending)
    /\ LET p == Head(pending)
           to == IF p.from = registry.state THEN p.to ELSE AfterIssue(registry.state, p.first)
           taken == registry.cert[p.key] # "none" \/ (p.new /\ registry.known)
       IN /\ registry' = IF taken THEN registry ELSE Issued(registry, p.key, to)
          /\ IF ~p.waited THEN UNCHANGED call
             ELSE Says(IF registry'.cert[p.key] # "none" THEN "certificate" ELSE "refused")
    /\ UNCHANGED <<state, renewal, files, reports, resets>>
KeeperAway == pending # <<>> /\ pending' = <<>>
              /\ (IF call.kind = "signing" THEN Says("later") ELSE UNCHANGED call)
              /\ UNCHANGED <<state, renewal, files, registry, reports, resets>>
Answer == call.kind \in {"certificate", "refused", "later"} /\ StopListening
          /\ state' = (IF call.kind = "certificate" THEN "storing" ELSE "waiting")
          /\ UNCHANGED <<renewal, files, registry, reports, resets>>
Unanswered == call.kind # "none" /\ StopListening /\ state' = "waiting"
              /\ UNCHANGED <<renewal, files, registry, reports, resets>>

StoreIdentity == identity' = nextKey /\ nextKey' = 0
Stored == state = "storing" /\ state' = "active" /\ renewal' = TRUE /\ StoreIdentity /\ lingers' = TRUE
          /\ UNCHANGED <<made, call, site, resets>>
Use == state # "off" /\ identity # 0 /\ identity \notin reports /\ reports' = reports \cup {identity}
       /\ UNCHANGED <<state, renewal, files, call, pending, registry, resets>>
Hear(key) == reports' = reports \ {key} /\ registry' = Seen(registry, key)
             /\ UNCHANGED <<state, renewal, files, call, pending, resets>>

Cut ==          \* what was being stored is there, or not; what was removed may be there again
    /\ state # "off" /\ state' = "off" /\ renewal' = FALSE /\ lingers' = FALSE /\ StopListening
    /\ \/ made' = (IF state = "no-key" THEN made - 1 ELSE made) /\ UNCHANGED <<identity, nextKey>>
       \/ state = "no-key" /\ nextKey' = made /\ UNCHANGED <<identity, made>>
       \/ state = "storing" /\ StoreIdentity /\ UNCHANGED made
       \/ state \notin {"no-key", "storing"} /\ lingers /\ UNCHANGED <<identity, made>>
          /\ nextKey' = (IF nextKey = 0 THEN identity ELSE nextKey)
    /\ UNCHANGED <<registry, reports, resets>>
ServerCut == pending' = <<>> /\ call' = NoCall
             /\ state' = (IF call.kind # "none" THEN "waiting" ELSE state)
             /\ UNCHANGED <<renewal, files, registry, reports, resets>>
Reset == state = "off" /\ resets > 0 /\ resets' = resets - 1 /\ identity # 0 /\ identity' = 0 /\ nextKey' = 0
         /\ UNCHANGED <<state, renewal, made, lingers, call, site>>

Next == Start \/ Renew \/ KeyStored \/ Ask \/ Decide \/ Signed \/ KeeperAway \/ Answer \/ Unanswered
        \/ Stored \/ Use \/ (\E k \in reports : Hear(k)) \/ Cut \/ ServerCut \/ Reset
Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
OneIdentity ==
    /\ Cardinality(Live(registry)) <= 2
    /\ registry.known => Cardinality({k \in All : registry.cert[k] = "current"}) = 1
(* A key has one certificate for ever. *)
SameAnswer == [][\A k \in All : registry.gen[k] # 0 => registry'.gen[k] = registry.gen[k]]_vars
KnownTransition == [][registry'.state # registry.state => <<registry.state, registry'.state>> \in Moves]_vars
(* The certificate that the device has works. *)
KeptIdentity == identity # 0 => identity \in Live(registry)
=============================================================================
