/*
 * The moves of a device's identity that exist (KnownTransition). A move that is not here is
 * refused, counted, and leaves an entry.
 *
 *     expected --issued--> enrolled --seen--> active <--seen-- re-enrolling
 *                                             active --issued by hardware identity--> re-enrolling
 *
 * Issuing again to a device that is enrolled, re-enrolling or (renewing by its own certificate)
 * active leaves it where it is. quarantined, revoked and decommissioned have no moves yet: nothing
 * leads there or back.
 */
#ifndef CORE_CONTROL_IDENTITY_H
#define CORE_CONTROL_IDENTITY_H

#include "codec/identity_state.h"

/* Does the table have this move (or is it none)? Counted as KnownTransition. */
MUST_USE bool identity_may_move(enum identity_state from, enum identity_state to);

/* May a certificate be issued to a device in this state, and where is the device then? */
MUST_USE bool identity_after_issue(enum identity_state from,
                                   bool by_hardware,
                                   enum identity_state *to);

#endif
