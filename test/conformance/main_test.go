package conformance

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	// full is set for the full sizes: all pairs of versions in all phases, and thousands of random seeds.
	full = os.Getenv("TANDEM_TEST_FULL") != ""
	// seed makes the random choices of the run.
	seed uint64
	// binary is the program under test.
	binary string

	update = flag.Bool("update", false, "write docs/commands.md instead of comparing with it")
	hurry  = flag.Duration("patience", patience, "how long a reply is waited for")
	many   = flag.Uint64("seeds", 0, "how many random conversations; 0: as the size has it")
	alone  = flag.String("version", "", "play only on this version, as redis-7.0")
	resp   = flag.Int("resp", 0, "play only in this protocol: 2 or 3; 0: both")
	only   = flag.String("scenario", "", "play only scenarios whose file and name match this expression")
)

// TestMain builds the program once, unless TANDEM_TEST_BINARY names one that is to be tested.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	patience = *hurry
	seed = 1 // a small run is the same each time: it says whether a change is good, not what else may be wrong
	if full {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	if s := os.Getenv("TANDEM_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			fmt.Fprintf(os.Stderr, "TANDEM_TEST_SEED: %v\n", err)
			return 2
		}
		seed = n
	}
	fmt.Printf("seed %d (TANDEM_TEST_SEED), full sizes: %v (TANDEM_TEST_FULL)\n", seed, full)
	if binary = os.Getenv("TANDEM_TEST_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "tandem-conformance-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "directory of the program: %v\n", err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tandem")
	if out, err := exec.Command("go", "build", "-o", binary, "tandem/cmd/tandem").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build tandem: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// environment is this process' without the variables that are the suite's own: the program refuses variables
// of its prefix that it does not know.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TANDEM_") {
			env = append(env, v)
		}
	}
	return env
}
