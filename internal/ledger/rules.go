package ledger

// rules name the protocol's rules one by one, so that the interleaving test can take each of them out and
// prove that it is missed. In service the set is empty.
type rules uint64

const (
	ruleOwnership         rules = 1 << iota // a stripe's writes in flight are on one lane
	ruleVersion                             // a copy is void when a write was sent since
	ruleQuiet                               // a copy starts only when nothing is in flight on the stripe
	ruleOnlyExact                           // effects that depend on the earlier state need exact keys
	ruleAllExact                            // ... all of their keys, those only read included
	ruleWhole                               // a transaction that is not forwarded makes all of its keys dirty
	ruleDirtySince                          // what was sent before a key became dirty does not clear it
	ruleFloor                               // ... nor what was sent before dirty keys were forgotten
	ruleFloorDirty                          // ... it makes them dirty
	ruleFloorVersion                        // ... which voids copies, too
	ruleDirtyRaise                          // becoming dirty raises the version
	ruleDrain                               // a cutover waits for the secondary too
	ruleEdge                                // an effect next to an expiry is not trusted
	ruleExpiring                            // a copy's time to live is remembered, so that effects are guarded
	ruleMayExpire                           // ... and an effect's
	ruleMismatch                            // a reply that differs makes its keys dirty
	ruleRefused                             // ... and a copy that is refused
	ruleSuspect                             // ... and what was made from such a key before that was known
	ruleBehindEdge                          // ... and what is behind it on a key that met an expiry is no mismatch
	ruleLost                                // what a lost connection had not acknowledged is dirty
	ruleUnanswered                          // what a lost lane had not answered is dirty
	ruleReadVersion                         // a read that owns the stripe is void when a key there became dirty since
	ruleReadPasses                          // a copy's read passes a hold, and goes ahead of what waits
	ruleBarrier                             // a flush waits for the writes of other lanes, and they for it
	ruleBarrierVersion                      // ... it counts as a write to every stripe
	ruleBarrierQuiet                        // ... and no copy starts while it is in flight
	ruleBarrierOwes                         // a flush that the Sink refuses owes a sweep
	ruleFlushDone                           // ... and cleans keys only if it was done
	ruleSwapSettled                         // a swap while keys are dirty owes a sweep instead
	ruleSwapBehind                          // ... and so does an effect that fails before one
	ruleSwapExpiring                        // a swap moves times to live to other stripes
	ruleSweepAcks                           // the second half of a sweep waits for all acknowledgements
	ruleSweepDead                           // ... and until no old connection lives
	ruleSweptAnswered                       // a sweep ends when all is answered that was sent before its last page
	ruleSweptAcks                           // ... and all is acknowledged that it had copied
	ruleSweptGen                            // ... and not if it was owed again since it began
	ruleBlockedNotExact                     // a key that someone blocks on is not exact
	ruleServedDirty                         // what a blocked command was served is dirty
	ruleServedSince                         // ... and so is what was sent before that was known
	ruleBlockedSwap                         // a swap while someone blocks owes a sweep
	ruleBlockedDrain                        // ... and roles do not change
	ruleForeignDerived                      // while others write, what is made from other keys is dirty
	ruleNamesakeHanded                      // ... of namesakes, too
	ruleNamesakeGained                      // ... and one that a lane has just come to own counts as nobody's
	ruleReportsRead                         // ... until what a script wrote without naming it is reported and read
	ruleHandedOver                          // reports about a stripe that has changed hands count on every feed
	ruleHidden                              // what meets a script that writes what it does not name is copied
	ruleToldHidden                          // a script that names its keys does not explain another's reports
	ruleFeedless                            // ... as do those about one that was a lane's without a feed
	ruleEverywhereOwner                     // writes of what belongs to no key are on one lane at a time
	ruleEverywhereQuiet                     // ... a copy of it starts only when none is in flight
	ruleEverywhereVersion                   // ... and is void when one was sent since
	ruleEverywhereOwed                      // ... and is owed when an effect does not arrive
	ruleIntent                              // a write's stripes are marked before it is sent
	ruleIntentAll                           // ... all, if it is a barrier
	ruleIntentUnnamed                       // ... or may write what it does not name
	ruleCopyCounted                         // a copy is unsettled until it is acknowledged
	ruleWriteGeneration                     // an effect counts in the generation of its write
	ruleDirtyStands                         // dirty keys stay marked
	ruleBlockedStands                       // ... and those that are blocked on
	ruleOldMarksStay                        // what a crash has left stays marked until it is swept
	ruleMarkedUnknown                       // ... and is unknown until then, whatever the phase
	ruleOwedNoted                           // an owed sweep is noted before keys are forgotten
)

// sideRules are those of two-way (twoway.go), likewise.
type sideRules uint32

const (
	sideAcked        sideRules = 1 << iota // a stripe passes when all effects on it are acknowledged
	sideDead                               // ... and no old connection may bring any
	sideDirty                              // ... and no key of it is dirty
	sideUnknown                            // ... nor unknown
	sideVoids                              // ... and what was read before is void
	sideBarrier                            // a barrier takes every stripe
	sideGate                               // ... and until it has arrived nothing is sent there
	sideStands                             // what waits for a repair stands in nobody's way
	sideKept                               // sides outlive the process
	sideLibraries                          // what belongs to no key has a side, too
	sideDisplaced                          // what was in flight while its stripe changed sides is not forwarded
	sideDecidedAcked                       // a conflict is decided when what is on its way has arrived
	sideTold                               // who waits for a key is told of writes whose outcome is unknown, too
	sideNewest                             // ... and the newest write decides for its own keys only
	sideGiveBack                           // ... and comes to count again when it does not arrive
	sideUndone                             // what a restarted instance has not answered holds nothing back that the other one has
)
