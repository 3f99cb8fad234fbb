package ledger

// rules name the protocol's rules one by one, so that the interleaving test can take each of them out and
// prove that it is missed. In service the set is empty.
type rules uint32

const (
	ruleOwnership  rules = 1 << iota // a stripe's writes in flight are on one lane
	ruleVersion                      // a copy is void when a write was sent since
	ruleQuiet                        // a copy starts only when nothing is in flight on the stripe
	ruleOnlyExact                    // effects that depend on the earlier state need exact keys
	ruleAllExact                     // ... all of their keys, those only read included
	ruleDirtySince                   // what was sent before a key became dirty does not clear it
	ruleDirtyRaise                   // becoming dirty raises the version
	ruleDrain                        // a cutover waits for the secondary too
	ruleEdge                         // an effect next to an expiry is not trusted
	ruleHold                         // a lost lane's stripes stay held until it is known dead
	ruleBarrier                      // a flush waits for the writes of other lanes, and they for it
	ruleMismatch                     // a reply that differs makes its keys dirty
	ruleSweepAcks                    // the second half of a sweep waits for all acknowledgements
	ruleReadVersion                  // a read that owns the stripe is void when a key there became dirty since
)
