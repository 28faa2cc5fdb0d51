------------------------------ MODULE Sequence ------------------------------
(***************************************************************************)
(* The agent's counters through power cuts: boots, and sequence numbers    *)
(* that are reserved in blocks before they are used.                       *)
(*                                                                         *)
(* A record of both is kept in two copies, written in turn.  The power     *)
(* goes before, within and after a write; a copy may rot.  Where one copy  *)
(* is spoilt it may have been the newer: the agent goes on beyond what it  *)
(* can have said, and writes both copies before anybody hears of the boot. *)
(* The code: src/core/device/sequence.c.  Its world, with 128 numbers for  *)
(* one here: sim/explore/world_sequence.c; both have the same states.      *)
(***************************************************************************)
EXTENDS Naturals

CONSTANTS
    Block,      \* numbers in a block
    Low,        \* a new block is wanted when fewer are left
    Starts, Takes, Saves, Tears, Rots   \* how often each may happen

VARIABLES
    power,      \* "off", "starting", "idle", "reserving" or "stopping"
    mending,    \* starting, and the other copy is to be written too
    copies,     \* the two copies of the record
    ram,        \* the agent's counters
    pending,    \* the `next` of the record being written
    used,       \* every number below it was perhaps used
    usedBoot,   \* the highest boot that anybody heard of
    left        \* what may still happen

vars == <<power, mending, copies, ram, pending, used, usedBoot, left>>

Blank == [counter |-> 0, boot |-> 0, next |-> 0]
Spoilt == [counter |-> 0, boot |-> 0, next |-> 1]
NoRam == [boot |-> 0, counter |-> 0, next |-> 0, reserved |-> 0]
IsGood(copy) == copy.counter > 0
Which(counter) == IF counter % 2 = 1 THEN 1 ELSE 2
IsWriting == power \in {"starting", "reserving", "stopping"}
HasFile == copies # <<Blank, Blank>>
Happens(what) == left[what] > 0 /\ left' = [left EXCEPT ![what] = @ - 1]

-----------------------------------------------------------------------------
Init ==
    /\ power = "off" /\ mending = FALSE
    /\ copies = <<Blank, Blank>>
    /\ ram = NoRam /\ pending = 0
    /\ used = 0 /\ usedBoot = 0
    /\ left = [starts |-> Starts, takes |-> Takes, saves |-> Saves, tears |-> Tears, rots |-> Rots]

Beyond(copy) == [counter |-> copy.counter + 2, boot |-> copy.boot + 1, next |-> copy.next + Block]

(* What the file says of the past; Blank where there is none. *)
Found ==
    IF IsGood(copies[1]) /\ IsGood(copies[2])
    THEN IF copies[2].counter > copies[1].counter THEN copies[2] ELSE copies[1]
    ELSE IF IsGood(copies[1])
    THEN IF copies[2] = Blank THEN copies[1] ELSE Beyond(copies[1])
    ELSE IF IsGood(copies[2])
    THEN IF copies[1] = Blank THEN copies[2] ELSE Beyond(copies[2])
    ELSE Blank

IsMended == (IsGood(copies[1]) /\ copies[2] = Spoilt) \/ (IsGood(copies[2]) /\ copies[1] = Spoilt)
IsDamaged == HasFile /\ Found = Blank

BeginBoot(last) ==
    /\ power' = "starting"
    /\ ram' = [boot |-> last.boot + 1, counter |-> last.counter + 1,
               next |-> last.next, reserved |-> last.next]
    /\ pending' = last.next + Block

Start ==
    /\ power = "off" /\ Happens("starts")
    /\ IF IsDamaged THEN UNCHANGED <<power, mending, ram, pending>>
       ELSE BeginBoot(Found) /\ mending' = IsMended
    /\ UNCHANGED <<copies, used, usedBoot>>

Boot ==
    /\ power = "idle" /\ Happens("starts")
    /\ BeginBoot(ram)
    /\ UNCHANGED <<mending, copies, used, usedBoot>>

Write(state, next) ==
    /\ power' = state
    /\ ram' = [ram EXCEPT !.counter = @ + 1]
    /\ pending' = next
    /\ UNCHANGED <<mending, copies, used, usedBoot>>

Want ==
    /\ power = "idle" /\ ram.reserved - ram.next < Low
    /\ Write("reserving", ram.reserved + Block)
    /\ UNCHANGED left

Save == power = "idle" /\ Happens("saves") /\ Write("reserving", ram.reserved)
Stop == power = "idle" /\ Write("stopping", ram.next) /\ UNCHANGED left

Landed == [copies EXCEPT ![Which(ram.counter)] =
              [counter |-> ram.counter, boot |-> ram.boot, next |-> pending]]

PowerOff == power' = "off" /\ mending' = FALSE /\ ram' = NoRam /\ pending' = 0

Written ==
    /\ IsWriting
    /\ copies' = Landed
    /\ IF power = "stopping" THEN PowerOff /\ UNCHANGED usedBoot
       ELSE IF mending
       THEN /\ mending' = FALSE
            /\ ram' = [ram EXCEPT !.reserved = pending, !.counter = @ + 1]
            /\ UNCHANGED <<power, pending, usedBoot>>
       ELSE /\ power' = "idle" /\ pending' = 0
            /\ ram' = [ram EXCEPT !.reserved = pending]
            /\ usedBoot' = ram.boot
            /\ UNCHANGED mending
    /\ UNCHANGED <<used, left>>

Cut == power # "off" /\ PowerOff /\ UNCHANGED <<copies, used, usedBoot, left>>

CutTorn ==      \* the first record comes with its file, whole or not at all
    /\ IsWriting /\ HasFile /\ Happens("tears")
    /\ copies' = [copies EXCEPT ![Which(ram.counter)] = Spoilt]
    /\ PowerOff /\ UNCHANGED <<used, usedBoot>>

CutUntold == IsWriting /\ copies' = Landed /\ PowerOff /\ UNCHANGED <<used, usedBoot, left>>

Take ==
    /\ power \in {"idle", "reserving"} /\ ram.next < ram.reserved /\ Happens("takes")
    /\ ram' = [ram EXCEPT !.next = @ + 1]
    /\ used' = ram.next + 1
    /\ UNCHANGED <<power, mending, copies, pending, usedBoot>>

Rot(i) ==
    /\ IsGood(copies[i]) /\ Happens("rots")
    /\ copies' = [copies EXCEPT ![i] = Spoilt]
    /\ UNCHANGED <<power, mending, ram, pending, used, usedBoot>>

Next ==
    \/ Start \/ Boot \/ Want \/ Save \/ Stop \/ Take
    \/ Written \/ Cut \/ CutTorn \/ CutUntold
    \/ \E i \in {1, 2} : Rot(i)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* No number and no boot is used twice. *)
FloorMonotone ==
    /\ power # "off" => ram.next >= used
    /\ power = "starting" => ram.boot > usedBoot
    /\ power \in {"idle", "reserving"} => ram.boot = usedBoot

(* Power cuts alone never keep the agent from starting. *)
Startable == left["rots"] = Rots => ~IsDamaged
=============================================================================
