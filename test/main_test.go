package test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"tandem/test/program"
)

// seed makes every random choice of the run.
var seed uint64

// sized is n in full, else a tenth.
func sized(n int) int {
	if program.Full {
		return n
	}
	return n / 10
}

func TestMain(m *testing.M) {
	var err error
	if seed, err = program.Seed(uint64(time.Now().UnixNano()) % 1_000_000); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	fmt.Printf("seed %d (TANDEM_TEST_SEED), full sizes: %v (TANDEM_TEST_FULL)\n", seed, program.Full)
	os.Exit(program.Main(m))
}
