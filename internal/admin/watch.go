package admin

import (
	"net/http"
)

// history answers with how the migration has fared, of the last hour or behind ?after (Unix ms).
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	if after, ok := queryNumber(w, r, "after", 0); ok {
		writeJSON(w, http.StatusOK, s.options.Controller.History(after))
	}
}

func (s *Server) clients(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.options.Controller.Clients())
}

// precheck answers with the last precheck, or makes one.
func (s *Server) precheck(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		writeJSON(w, http.StatusOK, s.options.Controller.Checked())
		return
	}
	if !readBody(w, r, &struct{}{}) {
		return
	}
	t, ok := s.begin(w, r, "precheck", "", nil)
	if !ok {
		return
	}
	checked, err := s.options.Controller.Precheck(r.Context())
	t.end(err)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, checked)
}
