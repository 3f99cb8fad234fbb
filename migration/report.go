package migration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"tandem/internal/instance"
	"tandem/internal/report"
	"tandem/internal/status"
)

// The files of the report that is written when a migration is finished, or a keyspace was moved once.
const (
	reportPage = "report.html"
	reportJSON = "report.json"
)

// Report tells the migration as a whole. (admin.Controller)
func (m *Migration) Report() report.Report {
	m.mu.Lock()
	tally := maps.Clone(m.chronicle.tally.phases)
	m.mu.Unlock()
	return report.Make(report.Input{
		ID: m.id, Now: time.Now(), Status: m.Status(), Source: m.reported(m.source), Target: m.reported(m.target),
		Events: m.Events(0, 0), Tally: tally,
	})
}

// reported is what a report says of a server.
func (m *Migration) reported(i *instance.Instance) report.Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := report.Server{Address: i.Addr}
	if seen := m.seen[i.Role]; seen.known {
		s.Version, s.Keys = seen.facts.Version, status.Known(seen.facts.KeysTotal())
	}
	return s
}

// writeReport writes the report of a migration that has ended into its state directory.
func (m *Migration) writeReport() {
	r := m.Report()
	page, data := m.dir.File(reportPage), m.dir.File(reportJSON)
	err := writeWhole(page, r.WriteHTML)
	if err == nil {
		err = writeWhole(data, func(w io.Writer) error { return json.NewEncoder(w).Encode(r) })
	}
	if err != nil {
		m.log.Error("the report could not be written to the state directory", "error", err)
		return
	}
	m.log.Info("report written", "result", r.Verdict.Result, "page", page, "json", data)
}

// writeWhole writes a file, or leaves the one that is there.
func writeWhole(path string, write func(io.Writer) error) error {
	var b bytes.Buffer
	err := write(&b)
	if err == nil {
		if err = os.WriteFile(path+".tmp", b.Bytes(), 0o600); err == nil {
			err = os.Rename(path+".tmp", path)
		}
	}
	if err != nil {
		_ = os.Remove(path + ".tmp") // on a full disk its bytes may be the ones that are missing
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
