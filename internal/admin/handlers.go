package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"tandem/internal/status"
)

// stepResult is the answer to a completed step.
type stepResult struct {
	Phase   string  `json:"phase"`
	PauseMs float64 `json:"pause_ms"`
	Planned bool    `json:"planned,omitempty"`
}

// started is the answer to a step that goes on by itself.
type started struct {
	ID string `json:"id"`
}

// failure is the answer to everything that did not succeed. Blockers is there, if empty, when a step was
// refused, and only then.
type failure struct {
	Error    string           `json:"error"`
	Blockers []status.Blocker `json:"blockers,omitzero"`
}

// lastLine ends the lines of a verify's results: one of both.
type lastLine struct {
	Summary *status.VerifySummary `json:"summary,omitempty"`
	Error   string                `json:"error,omitempty"`
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusOK, "ok\n")
}

// ready needs no token, so that a probe can be a plain one; who has none is not told why.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	err := s.options.Controller.Ready()
	switch {
	case err == nil:
		writeText(w, http.StatusOK, "ok\n")
	case len(*s.callers.Load()) == 0 || caller(r) != known{}:
		writeText(w, http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
	default:
		writeText(w, http.StatusServiceUnavailable, "not ready\n")
	}
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.options.Controller.Status())
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) {
	var o StepOptions
	if !readBody(w, r, &o) {
		return
	}
	t, ok := s.begin(w, r, "start", o.Force, given(o))
	if !ok {
		return
	}
	o.Force = withoutAudit(o.Force)
	id, err := s.options.Controller.Start(r.Context(), o)
	t.end(err)
	switch {
	case err != nil:
		writeFailure(w, err)
	case id == "":
		writeJSON(w, http.StatusOK, stepResult{Phase: s.options.Controller.Status().Phase})
	default:
		writeJSON(w, http.StatusAccepted, started{ID: id})
	}
}

// stepFunc is a step of a Controller that is completed when it returns.
type stepFunc func(context.Context, StepOptions) (Result, error)

// withoutResult is a stepFunc of a step that holds nobody and keeps the phase.
func withoutResult(c Controller, step func(context.Context, StepOptions) error) stepFunc {
	return func(ctx context.Context, o StepOptions) (Result, error) {
		if err := step(ctx, o); err != nil {
			return Result{}, err
		}
		return Result{Phase: c.Status().Phase}, nil
	}
}

func (s *Server) step(name string, step stepFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var o StepOptions
		if !readBody(w, r, &o) {
			return
		}
		t, ok := s.begin(w, r, name, o.Force, given(o))
		if !ok {
			return
		}
		o.Force = withoutAudit(o.Force)
		result, err := step(r.Context(), o)
		t.end(err)
		if err != nil {
			writeFailure(w, err)
			return
		}
		code := http.StatusOK
		if result.Planned {
			code = http.StatusAccepted
		}
		writeJSON(w, code, stepResult{Phase: result.Phase, PauseMs: milliseconds(result.Pause), Planned: result.Planned})
	}
}

// milliseconds keeps three decimals: a pause is measured in microseconds at best.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (s *Server) verify(w http.ResponseWriter, r *http.Request) {
	o := VerifyOptions{Mode: VerifyFull}
	if !readBody(w, r, &o) {
		return
	}
	if o.Mode != VerifyFull && o.Mode != VerifySample && o.Mode != VerifyKeys {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("mode is %q: use full, sample or keys", o.Mode))
		return
	}
	name := "verify"
	if o.Repair {
		name = "verify repair"
	}
	t, ok := s.begin(w, r, name, "", o)
	if !ok {
		return
	}
	id, err := s.options.Controller.Verify(r.Context(), o)
	t.end(err)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusAccepted, started{ID: id})
}

// leadVerify pauses, resumes or cancels a verify.
func (s *Server) leadVerify(w http.ResponseWriter, r *http.Request) {
	step := VerifyStep(r.PathValue("step"))
	switch step {
	case PauseVerify, ResumeVerify, CancelVerify:
	default:
		writeError(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
		return
	}
	t, ok := s.begin(w, r, "verify "+string(step), "", map[string]string{"id": shown(r.PathValue("id"))})
	if !ok {
		return
	}
	summary, err := s.options.Controller.LeadVerify(r.Context(), r.PathValue("id"), step)
	t.end(err)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, lastLine{Summary: &summary})
}

// verifyResults writes the differences found so far as JSON lines, and a last line with the summary. The
// query's from leaves out as many differences as the caller has.
func (s *Server) verifyResults(w http.ResponseWriter, r *http.Request) {
	from := 0
	if q := r.URL.Query().Get("from"); q != "" {
		n, err := strconv.Atoi(q)
		if err != nil || n < 0 {
			writeError(w, http.StatusBadRequest, "from is the number of differences to leave out: a whole number")
			return
		}
		from = n
	}
	lines := json.NewEncoder(w)
	begun := false
	begin := func() {
		begun = true
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
	summary, err := s.options.Controller.VerifyResults(r.Context(), r.PathValue("id"), from, func(d status.Difference) error {
		if !begun {
			begin()
		}
		extendWriting(w)
		return lines.Encode(d)
	})
	switch {
	case err != nil && !begun:
		writeFailure(w, err)
		return
	case err != nil:
		extendWriting(w)
		_ = lines.Encode(lastLine{Error: err.Error()}) // if the caller is gone, nobody reads it
		return
	case !begun:
		begin()
	}
	extendWriting(w)
	_ = lines.Encode(lastLine{Summary: &summary})
}

// readBody reads a body that is empty or one JSON object with known fields. It answers what is not.
func readBody(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBodyBytes))
		return false
	case err != nil:
		writeError(w, http.StatusBadRequest, "the body could not be read: "+err.Error())
		return false
	}
	// The request is here, whole. Without this its deadline would cancel a step that takes longer.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if len(bytes.TrimSpace(body)) == 0 {
		return true
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		writeError(w, http.StatusBadRequest, "the body is not the JSON object it should be: "+err.Error())
		return false
	}
	if decoder.More() {
		writeError(w, http.StatusBadRequest, "the body holds more than one JSON object")
		return false
	}
	return true
}

// writeFailure answers with the status that belongs to an error of the Controller.
func writeFailure(w http.ResponseWriter, err error) {
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		blockers := refused.Blockers
		if blockers == nil {
			blockers = []status.Blocker{}
		}
		writeJSON(w, http.StatusConflict, failure{err.Error(), blockers})
	case errors.Is(err, ErrInvalid):
		writeError(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, ErrUnknownVerify):
		writeError(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ErrPrimaryDown):
		writeError(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, ErrUndone):
		writeError(w, http.StatusGatewayTimeout, err.Error())
	default:
		writeError(w, http.StatusInternalServerError, err.Error())
	}
}

func writeError(w http.ResponseWriter, code int, message string) {
	writeJSON(w, code, failure{Error: message})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a NaN among the numbers, at worst
		code, body = http.StatusInternalServerError, []byte(`{"error":"the answer could not be written as JSON"}`)
	}
	write(w, code, "application/json", append(body, '\n'))
}

func writeText(w http.ResponseWriter, code int, text string) {
	write(w, code, "text/plain; charset=utf-8", []byte(text))
}

func write(w http.ResponseWriter, code int, contentType string, body []byte) {
	extendWriting(w)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body) // if the caller is gone, nobody reads it
}
