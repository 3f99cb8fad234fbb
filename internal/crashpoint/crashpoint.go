// Package crashpoint names the places at which a test may end the process, as if by kill -9: wherever what is known,
// what is sent and what is on disk can part. In service a point is one look at a variable that is nil.
package crashpoint

// Point is one place in the code.
type Point string

// The points, in the order in which a write, a copy, a sweep, a step of the migration and a start come by them.
const (
	BeforeMark   Point = "before-mark"   // a write may be sent; its stripes are not marked
	Marked       Point = "marked"        // they are
	BeforeSend   Point = "before-send"   // commands are about to be written to the primary
	Sent         Point = "sent"          // they are
	Replied      Point = "replied"       // a write's reply is there, its effect is not made
	Judged       Point = "judged"        // its effect is on the lane to the secondary, or its keys are dirty
	Answering    Point = "answering"     // the client is about to get the reply
	EffectSend   Point = "effect-send"   // effects and copies are about to be written to the secondary
	EffectSent   Point = "effect-sent"   // they are
	BeforeAck    Point = "before-ack"    // the secondary has answered; the ledger does not know
	Acked        Point = "acked"         // it does
	CopyRead     Point = "copy-read"     // keys are read for their copies
	CopyBuilt    Point = "copy-built"    // a value is whole in a temporary key of the secondary
	CopyAppended Point = "copy-appended" // the copies are on the lane to the secondary
	BeforeTurn   Point = "before-turn"   // a generation of the intent map has settled
	Cleared      Point = "cleared"       // it is cleared, and not the current one yet
	SweepEnds    Point = "sweep-ends"    // all of a sweep is done, and still noted as owed
	SweepEnded   Point = "sweep-ended"   // it is not any more
	StateWritten Point = "state-written" // the new state file is there beside the old one
	StateRenamed Point = "state-renamed" // it is in its place
	RolesSaved   Point = "roles-saved"   // new roles are on disk and nobody has them
	RolesSwapped Point = "roles-swapped" // they are in use, and clients are held still
	Folding      Point = "folding"       // what was found in the intent map is together, and nothing cleared
	Resumed      Point = "resumed"       // it is taken up, and nothing is connected
	KeptListed   Point = "kept-listed"   // the list of kept keys is on disk, and the migration has not begun
	KeptReleased Point = "kept-released" // keys have left it in memory, for writes that wait
	KeptSynced   Point = "kept-synced"   // and on disk; the writes have not been sent
)

// Points are all of them.
var Points = []Point{BeforeMark, Marked, BeforeSend, Sent, Replied, Judged, Answering, EffectSend, EffectSent, BeforeAck, Acked,
	CopyRead, CopyBuilt, CopyAppended, BeforeTurn, Cleared, SweepEnds, SweepEnded, StateWritten, StateRenamed, RolesSaved, RolesSwapped,
	Folding, Resumed, KeptListed, KeptReleased, KeptSynced}

var reached func(p Point)

// Reach is called where the process comes by a point.
func Reach(p Point) {
	if reached != nil {
		reached(p)
	}
}

// Set sets what is done at each point. It is for tests, before anything runs.
func Set(f func(p Point)) { reached = f }
