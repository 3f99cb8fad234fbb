package admin

import (
	"bytes"
	"net/http"
	"strconv"

	"tandem/internal/journal"
)

// maxEvents is how many events one answer holds at most.
const maxEvents = 1000

// eventsAnswer is the answer to a question for events: the caller asks again behind the last of them.
type eventsAnswer struct {
	Events []journal.Event `json:"events"`
}

// events answers with what the journal holds behind ?after, at most ?limit of it; with ?last, only as many of the last ones.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	after, ok := queryNumber(w, r, "after", 0)
	if !ok {
		return
	}
	limit, ok := queryNumber(w, r, "limit", maxEvents)
	if !ok {
		return
	}
	last, ok := queryNumber(w, r, "last", 0)
	if !ok {
		return
	}
	if last > 0 { // they are numbered without gaps, but for what was lost
		after = max(after, s.options.Controller.LastEvent()-min(last, maxEvents))
	}
	answer := eventsAnswer{Events: s.options.Controller.Events(after, int(max(1, min(limit, maxEvents))))}
	if answer.Events == nil {
		answer.Events = []journal.Event{}
	}
	writeJSON(w, http.StatusOK, answer)
}

// queryNumber reads a whole number of the query, which must not be negative. It answers what is not one.
func queryNumber(w http.ResponseWriter, r *http.Request, name string, otherwise int64) (n int64, ok bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		writeError(w, http.StatusBadRequest, name+" is a whole number, not less than 0")
		return 0, false
	}
	return n, true
}

func (s *Server) report(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.options.Controller.Report())
}

// reportPolicy lets the report's page use its own style, and nothing else.
const reportPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// reportPage answers with the report as a page to read, print and keep.
func (s *Server) reportPage(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	if err := s.options.Controller.Report().WriteHTML(&b); err != nil {
		writeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Security-Policy", reportPolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	write(w, http.StatusOK, "text/html; charset=utf-8", b.Bytes())
}
