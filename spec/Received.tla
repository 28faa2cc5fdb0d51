------------------------------ MODULE Received ------------------------------
(***************************************************************************)
(* What became of each sequence number of one device, through late         *)
(* arrivals, duplicates, new boots and power cuts of ingest.               *)
(*                                                                         *)
(* A gateway's journal holds what is not committed yet.  Ingest reads it   *)
(* in order and keeps, in one transaction, the points, the received set    *)
(* and its cursor.  The received set is bounded: of more than Gaps gaps    *)
(* the oldest closes, and its numbers are declared lost.                   *)
(*                                                                         *)
(* The code: src/core/ingest/received.c.  Its world: sim/explore,          *)
(* world_received.c; both have the same states.                            *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Numbers,    \* the highest number that is looked at
    Sent,       \* the numbers that the device sends
    Boots,      \* the numbers at which later boots may begin
    Gaps,       \* how many gaps the set has room for
    Room        \* records in the journal beyond the cursor

VARIABLES
    disk,       \* the fate of each number as it was last committed
    ram,        \* the same as ingest has it
    journal,    \* the records from the committed cursor on
    read,       \* how many of them ingest has read
    arrived     \* the numbers that were ever in the journal

vars == <<disk, ram, journal, read, arrived>>

All == 1..Numbers
Fates == {"unseen", "missing", "restart", "applied", "lost"}
IsGap(fate) == fate \in {"missing", "restart"}

-----------------------------------------------------------------------------
(* A gap is a run of numbers that miss for the same reason. *)

FirstsOfGaps(f) ==
    {n \in All : IsGap(f[n]) /\ (IF n = 1 THEN TRUE ELSE f[n - 1] # f[n])}

Least(S) == CHOOSE n \in S : \A m \in S : n <= m

OldestGap(f) ==
    LET first == Least(FirstsOfGaps(f))
    IN {n \in All : n >= first /\ \A m \in first..n : f[m] = f[first]}

Bounded(f) ==
    IF Cardinality(FirstsOfGaps(f)) <= Gaps THEN f
    ELSE [n \in All |-> IF n \in OldestGap(f) THEN "lost" ELSE f[n]]

(* The next number: all from it on are unseen. *)
Next1(f) == Least({n \in 1..(Numbers + 1) : \A m \in n..Numbers : f[m] = "unseen"})

Skipped(f, to, why) ==
    [n \in All |-> IF n >= Next1(f) /\ n < to THEN why ELSE f[n]]

Offered(f, n) ==
    IF n >= Next1(f) THEN Bounded([Skipped(f, n, "missing") EXCEPT ![n] = "applied"])
    ELSE IF IsGap(f[n]) THEN Bounded([f EXCEPT ![n] = "applied"])
    ELSE f                                      \* a duplicate, or declared lost

Restarted(f, n) == Bounded(Skipped(f, n, "restart"))

-----------------------------------------------------------------------------
Init ==
    /\ disk = [n \in All |-> "unseen"]
    /\ ram = disk
    /\ journal = <<>>
    /\ read = 0
    /\ arrived = {}

Arrive(n) ==
    /\ Len(journal) < Room
    /\ journal' = Append(journal, [boot |-> FALSE, number |-> n])
    /\ arrived' = arrived \cup {n}
    /\ UNCHANGED <<disk, ram, read>>

Reboot(n) ==
    /\ Len(journal) < Room
    /\ journal' = Append(journal, [boot |-> TRUE, number |-> n])
    /\ UNCHANGED <<disk, ram, read, arrived>>

Read ==
    /\ read < Len(journal)
    /\ LET record == journal[read + 1]
       IN ram' = IF record.boot THEN Restarted(ram, record.number)
                 ELSE Offered(ram, record.number)
    /\ read' = read + 1
    /\ UNCHANGED <<disk, journal, arrived>>

Commit ==
    /\ read > 0
    /\ disk' = ram
    /\ journal' = SubSeq(journal, read + 1, Len(journal))
    /\ read' = 0
    /\ UNCHANGED <<ram, arrived>>

Cut ==
    /\ ram' = disk
    /\ read' = 0
    /\ UNCHANGED <<disk, journal, arrived>>

Next ==
    \/ \E n \in Sent : Arrive(n)
    \/ \E n \in Boots : Reboot(n)
    \/ Read
    \/ Commit
    \/ Cut

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
TypeOK ==
    /\ disk \in [All -> Fates]
    /\ ram \in [All -> Fates]
    /\ read \in 0..Len(journal)
    /\ arrived \subseteq Sent

(* A number changes the store at most once: what was applied or declared lost stays so. *)
OnceApplied == [][\A n \in All : disk[n] \in {"applied", "lost"} => disk'[n] = disk[n]]_vars

(* What came is still to be read, or applied, or declared lost. *)
AckedIsKept ==
    \A n \in arrived :
        \/ disk[n] \in {"applied", "lost"}
        \/ \E i \in 1..Len(journal) : ~journal[i].boot /\ journal[i].number = n

(* Nothing is applied that did not come. *)
OnlyAuthentic == \A n \in All : ram[n] = "applied" => n \in arrived

BoundedCost == Cardinality(FirstsOfGaps(ram)) <= Gaps
=============================================================================
