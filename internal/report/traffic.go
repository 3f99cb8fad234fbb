package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Traffic is what was moved in one phase, by all processes together. What a process that was killed had counted in its
// last seconds is not in it.
type Traffic struct {
	// ServedMs is how long processes have served in the phase.
	ServedMs int64 `json:"served_ms"`
	// Commands and Writes were answered by the primary.
	Commands int64 `json:"commands"`
	Writes   int64 `json:"writes"`
	// EffectsForwarded were sent to the secondary, of EffectBytes together; EffectsDropped could not be, and
	// EffectsMismatched were answered otherwise than they should be: keys of both were copied.
	EffectsForwarded  int64 `json:"effects_forwarded"`
	EffectBytes       int64 `json:"effect_bytes"`
	EffectsDropped    int64 `json:"effects_dropped"`
	EffectsMismatched int64 `json:"effects_mismatched"`
	// KeysCopied is how many copies the secondary has taken, of CopiedBytes together; CopiesFailed it has refused, each
	// of which was tried again.
	KeysCopied   int64 `json:"keys_copied"`
	CopiedBytes  int64 `json:"copied_bytes"`
	CopiesFailed int64 `json:"copies_failed"`
	// ForeignWrites were seen to go past the proxy.
	ForeignWrites int64 `json:"foreign_writes"`
	// KeysRepaired is how many keys verifies have had copied again, ShadowReads how many reads were compared on both
	// servers, and ShadowDifferences how many of those differed.
	KeysRepaired      int64 `json:"keys_repaired"`
	ShadowReads       int64 `json:"shadow_reads"`
	ShadowDifferences int64 `json:"shadow_differences"`
}

// fields are all numbers of t.
func (t *Traffic) fields() []*int64 {
	return []*int64{
		&t.ServedMs, &t.Commands, &t.Writes, &t.EffectsForwarded, &t.EffectBytes, &t.EffectsDropped, &t.EffectsMismatched,
		&t.KeysCopied, &t.CopiedBytes, &t.CopiesFailed, &t.ForeignWrites, &t.KeysRepaired, &t.ShadowReads, &t.ShadowDifferences,
	}
}

// Add adds what o has moved.
func (t *Traffic) Add(o Traffic) {
	for i, f := range o.fields() {
		*t.fields()[i] += *f
	}
}

// Since is what was moved after before, of the same process.
func (t Traffic) Since(before Traffic) Traffic {
	for i, f := range before.fields() {
		*t.fields()[i] -= *f
	}
	return t
}

// Tally is the traffic of each phase.
type Tally map[string]Traffic

const tallyFile = "traffic.json"

// ReadTally reads the tally of a state directory. There is none at first; one that is damaged begins anew, and says so.
func ReadTally(dir string) (Tally, error) {
	t := Tally{}
	data, err := os.ReadFile(filepath.Join(dir, tallyFile))
	switch {
	case os.IsNotExist(err):
		return t, nil
	case err != nil:
		return t, fmt.Errorf("read the traffic of each phase: %w", err)
	}
	if err := json.Unmarshal(data, &t); err != nil || t == nil {
		return Tally{}, fmt.Errorf("the traffic of each phase is counted anew, for %s is damaged: %w", tallyFile, err)
	}
	return t, nil
}

// Write replaces the tally of a state directory, so that a crash of the process leaves the old or the new one.
func (t Tally) Write(dir string) error {
	data, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("write the traffic of each phase: %w", err)
	}
	path := filepath.Join(dir, tallyFile)
	if err = os.WriteFile(path+".tmp", data, 0o600); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		_ = os.Remove(path + ".tmp") // on a full disk its bytes may be the ones that are missing
		return fmt.Errorf("write the traffic of each phase: %w", err)
	}
	return nil
}
