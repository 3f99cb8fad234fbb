package rueidis

import (
	"os"
	"testing"

	"tandem/test/clients/stage"
	"tandem/test/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

func TestRueidis(t *testing.T) {
	for _, pair := range stage.Pairs(stage.Pair{Source: "valkey-8.1", Target: "valkey-8.1"}) {
		t.Run(pair.String(), func(t *testing.T) {
			stage.Play(t, pair, append(protocol(2).parts(), protocol(3).parts()...)...)
		})
	}
}
