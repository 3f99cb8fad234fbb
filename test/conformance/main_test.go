package conformance

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"tandem/test/program"
)

var (
	// full is set for the full sizes: all pairs of versions in all phases, and thousands of random seeds.
	full = program.Full
	// seed makes the random choices of the run.
	seed uint64

	hurry = flag.Duration("patience", patience, "how long a reply is waited for")
	many  = flag.Uint64("seeds", 0, "how many random conversations; 0: as the size has it")
	alone = flag.String("version", "", "play only on this version, as redis-7.0")
	resp  = flag.Int("resp", 0, "play only in this protocol: 2 or 3; 0: both")
	only  = flag.String("scenario", "", "play only scenarios whose file and name match this expression")
)

func TestMain(m *testing.M) {
	flag.Parse()
	patience = *hurry
	otherwise := uint64(1) // a small run is the same each time: it says whether a change is good, not what else may be wrong
	if full {
		otherwise = uint64(time.Now().UnixNano()) % 1_000_000
	}
	var err error
	if seed, err = program.Seed(otherwise); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Printf("seed %d (TANDEM_TEST_SEED), full sizes: %v (TANDEM_TEST_FULL)\n", seed, full)
	os.Exit(program.Main(m))
}
