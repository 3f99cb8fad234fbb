package tools

import (
	"os"
	"testing"

	"tandem/test/clients/stage"
	"tandem/test/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

func TestToolsOfTheServer(t *testing.T) {
	pairs := []stage.Pair{{Source: "redis-7.0", Target: "redis-7.0"}}
	if stage.Full {
		pairs = append(pairs, stage.Pair{Source: "valkey-9.1", Target: "valkey-9.1"})
	}
	for _, pair := range pairs {
		t.Run(pair.String(), func(t *testing.T) { stage.Play(t, pair, parts()...) })
	}
}
