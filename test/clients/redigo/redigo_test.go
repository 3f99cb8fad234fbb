package redigo

import (
	"os"
	"testing"

	"tandem/test/clients/stage"
	"tandem/test/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

func TestRedigo(t *testing.T) {
	for _, pair := range stage.Pairs(stage.Pair{Source: "redis-6.0", Target: "redis-6.0"}) {
		t.Run(pair.String(), func(t *testing.T) { stage.Play(t, pair, parts()...) })
	}
}
