package ledger

import (
	"testing"
)

// TestEveryRuleIsMissed takes the rules out one by one. The interleavings must then find a violation:
// otherwise the rule is not needed, or, more likely, the simulation never comes to where it is.
func TestEveryRuleIsMissed(t *testing.T) {
	configs := map[string]*simConfig{}
	for _, c := range simConfigs {
		configs[c.name] = c
	}
	for _, x := range []struct {
		name   string
		rule   rules
		flaw   flaws
		config string
	}{
		{"ownership", ruleOwnership, 0, "plain"},
		{"version", ruleVersion, 0, "plain"},
		{"quiet", ruleQuiet, 0, "plain"},
		{"only exact", ruleOnlyExact, 0, "plain"},
		{"all exact", ruleAllExact, 0, "several keys and faults"},
		{"whole", ruleWhole, 0, "several keys and faults"},
		{"dirty since", ruleDirtySince, 0, "foreign"},
		{"floor", ruleFloor, 0, "scripts"},
		{"floor makes dirty", ruleFloorDirty, 0, "scripts of single keys"},
		{"floor voids copies", ruleFloorVersion, 0, "scripts"},
		{"dirty raises the version", ruleDirtyRaise, 0, "foreign, a lane without a feed"},
		{"drain", ruleDrain, 0, "cutover"},
		{"edge", ruleEdge, 0, "expiry"},
		{"behind an edge", ruleBehindEdge, 0, "expiry"},
		{"expiring", ruleExpiring, 0, "expiry"},
		{"may expire", ruleMayExpire, 0, "expiry"},
		{"mismatch", ruleMismatch, 0, "refused"},
		{"refused", ruleRefused, 0, "refused"},
		{"suspects, when refused", ruleSuspect, 0, "refused"},
		{"suspects, next to an expiry", ruleSuspect, 0, "expiry and several keys"},
		{"lost", ruleLost, 0, "faults"},
		{"unanswered", ruleUnanswered, 0, "faults"},
		{"read version", ruleReadVersion, 0, "scripts of single keys"},
		{"read passes", ruleReadPasses, 0, "cutover"},
		{"barrier", ruleBarrier, 0, "barriers"},
		{"barrier version", ruleBarrierVersion, 0, "barriers"},
		{"barrier quiet", ruleBarrierQuiet, 0, "barriers"},
		{"barrier owes", ruleBarrierOwes, 0, "barriers and faults"},
		{"flush done", ruleFlushDone, 0, "barriers"},
		{"swap settled", ruleSwapSettled, 0, "swapped databases"},
		{"swap behind", ruleSwapBehind, 0, "expiry and swapped databases"},
		{"swap expiring", ruleSwapExpiring, 0, "expiry and swapped databases"},
		{"sweep acks", ruleSweepAcks, 0, "dirty set full"},
		{"sweep dead", ruleSweepDead, 0, "emptied"},
		{"swept answered", ruleSweptAnswered, 0, "dirty set full"},
		{"swept acks", ruleSweptAcks, 0, "crash"},
		{"swept gen", ruleSweptGen, 0, "dirty set full"},

		{"blocked not exact", ruleBlockedNotExact, 0, "blocked"},
		{"served is dirty", ruleServedDirty, 0, "blocked"},
		{"served since", ruleServedSince, 0, "blocked"},
		{"blocked, and a swap", ruleBlockedSwap, 0, "blocked and barriers"},
		{"blocked is not drained", ruleBlockedDrain, 0, "blocked, cutover and faults"},
		{"foreign, derived", ruleForeignDerived, 0, "foreign and several keys"},
		{"handed over", ruleHandedOver, 0, "foreign and several keys"},
		{"handed over, scripts", ruleHandedOver, 0, "scripts that write what they do not declare"},
		{"hidden", ruleHidden, 0, "scripts that write what they do not declare"},
		{"reports read", ruleReportsRead, 0, "scripts that write what they do not declare"},
		{"told, and hidden", ruleToldHidden, 0, "scripts that are replayed, and others"},
		{"replayed alone", ruleBarrier, 0, "scripts that are replayed whatever they write"},
		{"behind what fails", ruleSwapBehind, 0, "scripts that are replayed, and refused"},
		{"while nobody is blocked", ruleBlockedSwap, 0, "scripts that are replayed, and blocked"},
		{"namesakes, handed over", ruleNamesakeHanded, 0, "foreign and swapped databases"},
		{"namesakes, just owned", ruleNamesakeGained, 0, "foreign and swapped databases"},
		{"feedless", ruleFeedless, 0, "foreign, a lane without a feed"},
		{"everywhere, owner", ruleEverywhereOwner, 0, "everywhere"},
		{"everywhere, quiet", ruleEverywhereQuiet, 0, "everywhere"},
		{"everywhere, version", ruleEverywhereVersion, 0, "everywhere"},
		{"everywhere, owed", ruleEverywhereOwed, 0, "everywhere"},

		{"intent", ruleIntent, 0, "crash, synced"},
		{"intent of barriers", ruleIntentAll, 0, "crash and barriers"},
		{"intent of unnamed keys", ruleIntentUnnamed, 0, "crash and scripts"},
		{"intent of undeclared keys", ruleIntentUnnamed, 0, "crash and undeclared keys"},
		{"intent of others' writes", ruleIntentUnnamed, 0, "crash and foreign"},
		{"copy counted", ruleCopyCounted, 0, "crash, synced"},
		{"write generation", ruleWriteGeneration, 0, "crash, synced"},
		{"dirty stay marked", ruleDirtyStands, 0, "crash, synced"},
		{"blocked stay marked", ruleBlockedStands, 0, "blocked, crash, synced"},
		{"old marks stay", ruleOldMarksStay, 0, "crash, synced"},
		{"marked are unknown", ruleMarkedUnknown, 0, "crash, synced"},
		{"an owed sweep is noted", ruleOwedNoted, 0, "crash with the dirty set full"},
		{"checkpoint is acknowledged", 0, flawCheckpoint, "crash"},
		{"secondary sweep after a crash", 0, flawSecondarySweep, "crash, synced"},
		{"kill after a crash", 0, flawKill, "crash, synced"},

		{"blocked until known dead", 0, flawBlockedDead, "blocked and faults"},
		{"a feed that is back owes a sweep", 0, flawFeedBack, "foreign, one feed that is lost"},
		{"an uncovered script owes a sweep", 0, flawCovered, "undeclared keys and a feed that is lost"},
		{"a feed is set after a round", 0, flawFeedRound, "foreign and cutover"},
		{"a round reads all feeds", 0, flawRoundRead, "foreign"},
		{"reports are read before roles change", 0, flawReportsRead, "foreign and cutover"},
		{"kill", 0, flawKill, "faults"},
		{"hold until killed", 0, flawHold, "faults"},
		{"secondary sweep", 0, flawSecondarySweep, "dirty set full"},
		{"keepttl is not blind", 0, flawKeepTTL, "expiry"},
		{"TTL before value", 0, flawReadOrder, "expiry"},
		{"guard", 0, flawGuard, "expiry"},
		{"wiped owes a sweep", 0, flawWipe, "secondary comes back empty"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			cfg := *configs[x.config]
			cfg.without, cfg.no = x.rule, x.flaw
			seed, err := campaign(&cfg, 20000)
			if err == nil {
				t.Fatalf("%q without it: %d interleavings are clean", x.config, seed)
			}
			t.Logf("%q without it, seed %d: %v", x.config, seed, err)
		})
	}
}

// TestEverySideRuleIsMissed does the same for those of two-way.
func TestEverySideRuleIsMissed(t *testing.T) {
	configs := map[string]*simConfig{}
	for _, c := range simConfigs {
		configs[c.name] = c
	}
	for _, x := range []struct {
		name   string
		side   sideRules
		rule   rules
		flaw   flaws
		config string
	}{
		{"acknowledged", sideAcked, 0, 0, "two-way"},
		{"old connections dead", sideDead, 0, 0, "two-way and faults"},
		{"dirty", sideDirty, 0, 0, "two-way and faults"},
		{"unknown", sideUnknown, 0, 0, "two-way with the dirty set full"},
		{"barrier", sideBarrier, 0, 0, "two-way and barriers"},
		{"gate", sideGate, 0, 0, "two-way and barriers"},
		{"stands", sideStands, 0, 0, "two-way and outages"},
		{"kept", sideKept, 0, 0, "two-way and crash"},
		{"libraries", sideLibraries, 0, 0, "two-way, everywhere"},
		{"decided when acknowledged", sideDecidedAcked, 0, 0, "two-way, conflicts"},
		{"newest", sideNewest, 0, 0, "two-way, newest"},
		{"given back", sideGiveBack, 0, 0, "two-way and restarts"},
		{"told of what is unknown", sideTold, 0, 0, "two-way, and clients who wait"},
		{"ownership", 0, ruleOwnership, 0, "two-way"},
		{"intent", 0, ruleIntent, 0, "two-way and crash"},
		{"dirty stay marked", 0, ruleDirtyStands, 0, "two-way and crash"},
		{"copies are read where the truth is", 0, 0, flawFrom, "two-way and faults"},
		{"a sweep begins when all has arrived", 0, 0, flawSweepQuiet, "two-way with the dirty set full"},
		{"secondary sweep", 0, 0, flawSecondarySweep, "two-way with the dirty set full"},
		{"kill", 0, 0, flawKill, "two-way and faults"},
		{"hold until killed", 0, 0, flawHold, "two-way and faults"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			cfg := *configs[x.config]
			cfg.side, cfg.without, cfg.no = x.side, x.rule, x.flaw
			seed, err := campaign(&cfg, 20000)
			if err == nil {
				t.Fatalf("%q without it: %d interleavings are clean", x.config, seed)
			}
			t.Logf("%q without it, seed %d: %v", x.config, seed, err)
		})
	}
}
