package ledger

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

var (
	seedFlag = flag.Int64("seed", -1, "run one interleaving, with its steps (choose the test with -run)")
	runsFlag = flag.Int("runs", envRuns(), "interleavings per configuration; also LEDGER_RUNS")
)

// Every interleaving leaves a ledger behind. Collecting those less often halves the time that all of them take.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

func envRuns() int {
	if n, err := strconv.Atoi(os.Getenv("LEDGER_RUNS")); err == nil && n > 0 {
		return n
	}
	if raced {
		return 300
	}
	return 3000
}

// What clients send.
var (
	single  = []cmdKind{cmdSet, cmdDel, cmdApp, cmdApp, cmdNX, cmdSetKeep, cmdPop}
	several = append([]cmdKind{cmdRen, cmdUni, cmdMSet, cmdTx, cmdOpaque}, single...)
	flushes = append([]cmdKind{cmdFlush, cmdFlushTx, cmdApp}, several...)
	swaps   = append([]cmdKind{cmdSwap, cmdSwapTx, cmdFlush, cmdFlushTx, cmdApp, cmdApp}, several...)
	pushes  = append([]cmdKind{cmdApp, cmdApp, cmdTx}, several...)
	loads   = []cmdKind{cmdLoad, cmdLoad, cmdLoadTx, cmdApp, cmdSet, cmdFlush, cmdTx}
	expires = []cmdKind{cmdSetX, cmdSetX, cmdPEx, cmdPEx, cmdApp, cmdApp, cmdSet, cmdDel, cmdNX, cmdSetKeep, cmdPop}
)

const never = 99

// base is what the configurations have in common; each changes some of it.
func base(name string, change func(c *simConfig)) *simConfig {
	c := &simConfig{name: name, lanes: 2, writes: 9, kinds: several, keys: 4, maxDirty: never, maxLag: never}
	change(c)
	return c
}

func faults(c *simConfig) { c.laneFaults, c.sinkFaults, c.cancels = true, true, true }

var simConfigs = []*simConfig{
	base("plain", func(c *simConfig) { c.kinds, c.lanes = single, 3 }),
	base("faults", func(c *simConfig) { c.kinds, c.lanes = single, 3; faults(c) }),
	base("several keys and faults", func(c *simConfig) { c.lanes, c.forget = 3, true; faults(c) }),
	base("overflow", func(c *simConfig) { c.maxLag, c.sinkFaults = 2, true }),
	base("dirty set full", func(c *simConfig) { c.maxLag, c.maxDirty, c.forget = 2, 1, true; faults(c) }),
	base("secondary comes back empty", func(c *simConfig) { c.wipes = true; faults(c) }),
	base("refused", func(c *simConfig) { c.refusals, c.loose, c.sinkFaults = true, true, true }),
	base("barriers", func(c *simConfig) { c.kinds, c.lanes, c.keys, c.writes = flushes, 3, 8, 12 }),
	base("barriers and faults", func(c *simConfig) {
		c.kinds, c.lanes, c.keys, c.writes, c.maxDirty = flushes, 3, 8, 12, 3
		faults(c)
	}),
	base("swapped databases", func(c *simConfig) { c.kinds, c.keys, c.writes, c.forget = swaps, 8, 12, true }),
	base("swapped databases and faults", func(c *simConfig) {
		c.kinds, c.keys, c.writes, c.spurious = swaps, 8, 12, true
		faults(c)
	}),
	base("copies that own", func(c *simConfig) { c.copyRead, c.lanes, c.kinds, c.keys = true, 3, flushes, 8; faults(c) }),
	base("cutover", func(c *simConfig) { c.cutover, c.spurious, c.writes = true, true, 20 }),
	base("cutover and barriers", func(c *simConfig) {
		c.cutover, c.kinds, c.lanes, c.keys, c.writes, c.synced = true, append([]cmdKind{cmdSwap}, flushes...), 3, 8, 16, true
	}),
	base("cutover and faults", func(c *simConfig) { c.cutover, c.spurious, c.writes = true, true, 20; faults(c) }),
	base("emptied", func(c *simConfig) {
		c.kinds, c.empty = []cmdKind{cmdSet, cmdDel, cmdApp, cmdFlush}, true
		c.writes, c.maxDirty, c.sinkFaults = 6, 1, true
	}),
	base("scripts", func(c *simConfig) {
		c.kinds, c.loose = append([]cmdKind{cmdScript, cmdScript}, several...), true
		faults(c)
	}),
	base("scripts of single keys", func(c *simConfig) {
		c.kinds, c.loose, c.writes = []cmdKind{cmdScript, cmdSet, cmdNX, cmdDel, cmdSet}, true, 5
	}),
	base("foreign", func(c *simConfig) {
		c.foreign, c.feeds, c.loose, c.kinds, c.writes = true, 2, true, single, 14
	}),
	base("foreign, a lane without a feed", func(c *simConfig) {
		c.foreign, c.lanes, c.feeds, c.loose, c.kinds, c.writes = true, 3, 2, true, single, 14
	}),
	base("foreign and several keys", func(c *simConfig) {
		c.foreign, c.feeds, c.loose, c.writes, c.synced = true, 2, true, 14, true
	}),
	base("foreign and faults", func(c *simConfig) {
		c.foreign, c.lanes, c.feeds, c.feedFaults, c.loose, c.writes = true, 3, 2, true, true, 14
		faults(c)
	}),
	base("foreign, one feed that is lost", func(c *simConfig) {
		c.foreign, c.feeds, c.feedFaults, c.loose, c.writes, c.synced, c.kinds = true, 1, true, true, 14, true, single
	}),
	base("undeclared keys and a feed that is lost", func(c *simConfig) {
		c.feeds, c.turns, c.feedFaults, c.loose, c.writes, c.synced = 1, true, true, true, 14, true
		c.kinds = []cmdKind{cmdHidden, cmdHidden, cmdSet, cmdApp}
	}),
	base("foreign and swapped databases", func(c *simConfig) {
		c.foreign, c.feeds, c.loose, c.writes, c.kinds, c.keys, c.synced = true, 2, true, 14, swaps, 8, true
	}),
	base("foreign and cutover", func(c *simConfig) {
		c.foreign, c.feeds, c.loose, c.writes, c.cutover, c.synced = true, 2, true, 20, true, true
	}),
	base("scripts that write what they do not declare", func(c *simConfig) {
		c.feeds, c.turns, c.loose, c.writes, c.synced = 2, true, true, 14, true
		c.kinds = append([]cmdKind{cmdHidden, cmdHidden, cmdHidden}, several...)
	}),
	base("undeclared keys and faults", func(c *simConfig) {
		c.lanes, c.feeds, c.turns, c.feedFaults, c.loose, c.writes = 3, 2, true, true, true, 14
		c.kinds = append([]cmdKind{cmdHidden, cmdHidden, cmdHidden}, several...)
		faults(c)
	}),
	base("scripts that are replayed, and others", func(c *simConfig) {
		c.feeds, c.turns, c.loose, c.writes, c.synced = 2, true, true, 14, true
		c.kinds = []cmdKind{cmdReplay, cmdReplay, cmdReplay, cmdHidden, cmdApp, cmdSet, cmdRen}
	}),
	base("scripts that are replayed whatever they write", func(c *simConfig) {
		c.kinds, c.lanes, c.synced = append([]cmdKind{cmdAny, cmdAny, cmdAny, cmdApp, cmdSet}, several...), 3, true
	}),
	base("scripts that are replayed, and refused", func(c *simConfig) {
		c.kinds, c.refusals, c.loose, c.synced = []cmdKind{cmdAny, cmdAny, cmdAny, cmdApp, cmdApp}, true, true, true
	}),
	base("scripts that are replayed, and faults", func(c *simConfig) {
		c.kinds, c.lanes, c.loose = append([]cmdKind{cmdAny, cmdAny, cmdAny, cmdApp, cmdSet}, several...), 3, true
		faults(c)
	}),
	base("scripts that are replayed whatever they write, and others", func(c *simConfig) {
		c.feeds, c.turns, c.loose, c.writes, c.synced = 2, true, true, 14, true
		c.kinds = []cmdKind{cmdAny, cmdAny, cmdHidden, cmdApp, cmdSet, cmdRen}
	}),
	base("scripts that are replayed, and blocked", func(c *simConfig) {
		c.block, c.kinds, c.synced = true, append([]cmdKind{cmdAny, cmdAny}, pushes...), true
	}),
	base("blocked", func(c *simConfig) { c.block, c.kinds = true, pushes }),
	base("blocked and faults", func(c *simConfig) {
		c.block, c.blockFaults, c.kinds, c.lanes, c.writes = true, true, pushes, 3, 12
		faults(c)
	}),
	base("blocked and barriers", func(c *simConfig) {
		c.block, c.kinds, c.keys, c.writes = true, append([]cmdKind{cmdSwap, cmdSwapTx}, flushes...), 8, 12
	}),
	base("blocked, cutover and faults", func(c *simConfig) {
		c.block, c.blockFaults, c.kinds, c.cutover, c.synced, c.writes = true, true, pushes, true, true, 20
		faults(c)
	}),
	base("blocked and foreign", func(c *simConfig) {
		c.block, c.kinds, c.foreign, c.feeds, c.loose, c.writes = true, pushes, true, 2, true, 14
	}),
	base("everywhere", func(c *simConfig) { c.kinds, c.lanes = loads, 3; faults(c) }),
	base("everywhere, refused", func(c *simConfig) {
		c.kinds, c.refusals, c.loose, c.wipes = loads, true, true, true
		faults(c)
	}),
	base("everywhere, cutover and faults", func(c *simConfig) {
		c.kinds, c.cutover, c.synced, c.writes = loads, true, true, 20
		faults(c)
	}),
	base("crash", func(c *simConfig) { c.crash = true; faults(c) }),
	base("crash, synced", func(c *simConfig) { c.crash, c.synced = true, true; faults(c) }),
	base("crash of single keys, synced", func(c *simConfig) {
		c.crash, c.synced, c.kinds, c.turnIntents = true, true, single, .5
	}),
	base("crash and barriers", func(c *simConfig) {
		c.crash, c.synced, c.kinds, c.lanes, c.keys, c.writes = true, true, append([]cmdKind{cmdSwap}, flushes...), 3, 8, 12
	}),
	base("crash with the dirty set full", func(c *simConfig) {
		c.crash, c.synced, c.maxLag, c.maxDirty = true, true, 2, 1
		faults(c)
	}),
	base("crash and scripts", func(c *simConfig) {
		c.crash, c.synced, c.loose, c.kinds = true, true, true, append([]cmdKind{cmdScript, cmdScript}, several...)
	}),
	base("crash and undeclared keys", func(c *simConfig) {
		c.crash, c.synced, c.feeds, c.turns, c.loose, c.writes, c.turnIntents = true, true, 2, true, true, 14, .5
		c.kinds = append([]cmdKind{cmdHidden, cmdHidden, cmdHidden}, several...)
	}),
	base("crash and foreign", func(c *simConfig) {
		c.crash, c.synced, c.foreign, c.feeds, c.loose, c.writes = true, true, true, 2, true, 14
	}),
	base("blocked, crash, synced", func(c *simConfig) {
		c.block, c.crash, c.synced, c.kinds, c.writes, c.turnIntents = true, true, true, pushes, 6, 1
	}),
	base("blocked, crash and faults", func(c *simConfig) {
		c.block, c.blockFaults, c.crash, c.kinds, c.writes = true, true, true, pushes, 12
		faults(c)
	}),
	base("cutover, faults and crash", func(c *simConfig) {
		c.cutover, c.crash, c.spurious, c.writes = true, true, true, 20
		faults(c)
	}),
	base("everywhere, cutover and crash", func(c *simConfig) {
		c.kinds, c.cutover, c.crash, c.synced, c.writes = loads, true, true, true, 16
		faults(c)
	}),
	base("expiry and crash", func(c *simConfig) {
		c.expiry, c.crash, c.loose, c.kinds, c.writes, c.offset = true, true, true, expires, 14, 7
	}),
	base("kept keys", func(c *simConfig) { c.kept, c.lanes, c.sinkFaults = true, 3, true }),
	base("kept keys and faults", func(c *simConfig) { c.kept, c.maxDirty, c.forget = true, 2, true; faults(c) }),
	base("kept keys and barriers", func(c *simConfig) {
		c.kept, c.kinds, c.keys, c.writes = true, append([]cmdKind{cmdSwap, cmdSwapTx}, flushes...), 8, 12
		c.sinkFaults = true
	}),
	base("kept keys, cutover and faults", func(c *simConfig) {
		c.kept, c.cutover, c.spurious, c.writes = true, true, false, 20
		faults(c)
	}),
	base("kept keys and crash", func(c *simConfig) { c.kept, c.crash = true, true; faults(c) }),
	base("kept keys, cutover and crash", func(c *simConfig) {
		c.kept, c.crash, c.cutover, c.writes = true, true, true, 16
		faults(c)
	}),
	base("kept keys and loss of power", func(c *simConfig) { c.kept, c.crash, c.powerLoss = true, true, true; faults(c) }),
	base("kept keys and blocked", func(c *simConfig) {
		c.kept, c.block, c.crash, c.kinds, c.writes = true, true, true, pushes, 12
	}),
	base("kept keys and foreign", func(c *simConfig) {
		c.kept, c.foreign, c.feeds, c.loose, c.writes = true, true, 2, true, 14
	}),
	base("kept keys and scripts", func(c *simConfig) {
		c.kept, c.kinds, c.loose = true, append([]cmdKind{cmdAny, cmdAny, cmdHidden, cmdApp, cmdSet}, several...), true
		c.feeds, c.turns, c.writes = 2, true, 14
	}),
	base("expiry", func(c *simConfig) {
		c.expiry, c.loose, c.matches, c.kinds, c.writes, c.offset = true, true, true, expires, 14, 7
	}),
	base("expiry and cutover", func(c *simConfig) {
		c.expiry, c.loose, c.matches, c.kinds, c.writes, c.offset, c.cutover = true, true, true, expires, 14, 3, true
	}),
	base("expiry and faults", func(c *simConfig) {
		c.expiry, c.loose, c.matches, c.kinds, c.writes, c.offset = true, true, true, expires, 14, -5
		faults(c)
	}),
	base("expiry and several keys", func(c *simConfig) {
		c.expiry, c.loose, c.matches, c.writes, c.offset = true, true, true, 14, 7
		c.kinds = append([]cmdKind{cmdRen, cmdRen, cmdUni, cmdTx, cmdOpaque}, expires...)
	}),
	base("expiry and swapped databases", func(c *simConfig) {
		c.expiry, c.loose, c.writes, c.offset, c.keys, c.synced = true, true, 14, 4, 8, true
		c.kinds = append([]cmdKind{cmdSwap, cmdSwap, cmdRen}, expires...)
	}),
	base("two-way", func(c *simConfig) { c.two = true }),
	base("two-way and faults", func(c *simConfig) { c.two, c.forget = true, true; faults(c) }),
	base("two-way and overflow", func(c *simConfig) { c.two, c.maxLag, c.sinkFaults = true, 2, true }),
	base("two-way with the dirty set full", func(c *simConfig) {
		c.two, c.maxLag, c.maxDirty, c.forget = true, 2, 1, true
		faults(c)
	}),
	base("two-way and barriers", func(c *simConfig) {
		c.two, c.kinds, c.keys, c.writes, c.maxDirty = true, append([]cmdKind{cmdAny}, swaps...), 8, 12, 3
	}),
	base("two-way, barriers and faults", func(c *simConfig) {
		c.two, c.kinds, c.keys, c.writes, c.maxDirty = true, append([]cmdKind{cmdAny}, swaps...), 8, 12, 3
		faults(c)
	}),
	base("two-way, and clients who wait", func(c *simConfig) {
		c.two, c.awaits, c.kinds, c.writes = true, true, []cmdKind{cmdApp, cmdPop, cmdPop, cmdPop, cmdDel, cmdSet}, 14
		faults(c)
	}),
	base("two-way, refused", func(c *simConfig) { c.two, c.refusals, c.loose, c.sinkFaults = true, true, true, true }),
	base("two-way, everywhere", func(c *simConfig) { c.two, c.kinds, c.crash = true, loads, true; faults(c) }),
	base("two-way and crash", func(c *simConfig) { c.two, c.crash = true, true; faults(c) }),
	base("two-way, barriers and crash", func(c *simConfig) {
		c.two, c.crash, c.kinds, c.keys, c.writes = true, true, swaps, 8, 12
		faults(c)
	}),
	base("two-way and outages", func(c *simConfig) { c.two, c.outages, c.writes = true, true, 14; faults(c) }),
	base("two-way and restarts", func(c *simConfig) {
		c.two, c.outages, c.restarts, c.kinds, c.writes = true, true, true, flushes, 14
		faults(c)
	}),
	base("two-way, outages and crash", func(c *simConfig) {
		c.two, c.outages, c.crash, c.writes, c.maxDirty = true, true, true, 14, 2
		faults(c)
	}),
	base("two-way, instances that come back empty", func(c *simConfig) {
		c.two, c.outages, c.outWipes, c.noRef, c.loose, c.kinds = true, true, true, true, true, flushes
	}),
	base("two-way, conflicts", func(c *simConfig) {
		c.two, c.outages, c.conflict, c.kinds, c.writes = true, true, Overrule, single, 14
		faults(c)
	}),
	base("two-way, conflicts of several keys", func(c *simConfig) {
		c.two, c.outages, c.conflict, c.writes, c.noRef, c.loose = true, true, Overrule, 14, true, true
		faults(c)
	}),
	base("two-way, newest", func(c *simConfig) {
		c.two, c.outages, c.conflict, c.kinds, c.writes = true, true, Newest, single, 14
		faults(c)
	}),
	base("two-way, conflicts and crash", func(c *simConfig) {
		c.two, c.outages, c.crash, c.conflict, c.noRef, c.loose, c.writes = true, true, true, Overrule, true, true, 14
		faults(c)
	}),
	base("two-way, expiry", func(c *simConfig) {
		c.two, c.expiry, c.loose, c.kinds, c.writes, c.offset = true, true, true, expires, 14, 7
		faults(c)
	}),
}

// campaign runs the configuration with n seeds, up to the first violation.
func campaign(cfg *simConfig, n int) (seed int, err error) {
	for seed = range n {
		if err := newSim(cfg, uint64(seed)).run(); err != nil {
			return seed, err
		}
	}
	return n, nil
}

// steps tells what happened in one run.
func steps(cfg *simConfig, seed uint64) (string, error) {
	var log []string
	s := newSim(cfg, seed)
	s.log = &log
	err := s.run()
	return strings.Join(log, "\n"), err
}

// TestInterleavings drives the ledger through random interleavings of everything that meets in it.
func TestInterleavings(t *testing.T) {
	for _, cfg := range simConfigs {
		t.Run(cfg.name, func(t *testing.T) {
			if *seedFlag >= 0 {
				log, err := steps(cfg, uint64(*seedFlag))
				t.Logf("seed %d:\n%s\n%v", *seedFlag, log, err)
				return
			}
			t.Parallel()
			runs := *runsFlag
			if cfg.two {
				runs /= 2 // there are many of them
			}
			if seed, err := campaign(cfg, runs); err != nil {
				log, _ := steps(cfg, uint64(seed))
				t.Fatalf("seed %d: %v\nits steps (again with -run '%s' -seed %d):\n%s", seed, err, t.Name(), seed, log)
			}
			t.Logf("%d interleavings are clean", runs)
		})
	}
}

func (c command) String() string {
	names := [...]string{"SET", "SETX", "SETKEEP", "NX", "DEL", "APP", "POP", "PEX", "REN", "UNI", "MSET", "OPAQUE", "FLUSH", "SWAP", "TX",
		"FLUSHTX", "SWAPTX", "SCRIPT", "MOVE", "HIDDEN", "REPLAY", "ANY", "LOAD", "LOADTX"}
	return fmt.Sprintf("%s%v%v%v%s/%d", names[c.kind], c.w, c.r, c.dbs, c.token, c.exp)
}
