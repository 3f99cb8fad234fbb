package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tandem/internal/report"
	"tandem/internal/status"
)

var (
	// ErrUnreachable: nothing answered at the admin address, or not as tandem does.
	ErrUnreachable = errors.New("the admin address does not answer")
	// ErrUnauthorized: the server wants another token, or the request to come from elsewhere.
	ErrUnauthorized = errors.New("the admin address refused access")
)

// dialTimeout bounds connecting only: how long a step may take is the server's affair.
const dialTimeout = 5 * time.Second

// maxStatusBytes is far above any answer but a verify's results.
const maxStatusBytes = 4 << 20

// Client asks a Server. Its errors are those of a Controller, with the server's words, and ErrUnreachable
// and ErrUnauthorized.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// NewClient makes a client of the server at a URL such as http://127.0.0.1:6390; host:port alone will do.
// It does not connect yet.
func NewClient(address, token string) (*Client, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.User != nil || base.Scheme != "http" && base.Scheme != "https" {
		// Not the error itself: it holds the URL, which may hold a password.
		return nil, errors.New("the admin URL is not one: write http://host:port")
	}
	// Proxies of the environment are for the web, not for the machine next to us.
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSHandshakeTimeout: dialTimeout}
	return &Client{base: base, token: token, http: &http.Client{Transport: transport}}, nil
}

// Close ends connections that are kept open for the next request.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// String is the URL of the server.
func (c *Client) String() string { return c.base.String() }

// Status asks for the status.
func (c *Client) Status(ctx context.Context) (status.Status, error) {
	var s status.Status
	err := c.ask(ctx, http.MethodGet, "api/v1/status", nil, &s)
	return s, err
}

// StatusJSON asks for the status as the server writes it, with fields that this program may not know.
func (c *Client) StatusJSON(ctx context.Context) (json.RawMessage, error) {
	var s json.RawMessage
	err := c.ask(ctx, http.MethodGet, "api/v1/status", nil, &s)
	return s, err
}

// Report asks for the report.
func (c *Client) Report(ctx context.Context) (report.Report, error) {
	var r report.Report
	err := c.ask(ctx, http.MethodGet, "api/v1/report", nil, &r)
	return r, err
}

// ReportJSON asks for the report as the server writes it, with fields that this program may not know.
func (c *Client) ReportJSON(ctx context.Context) (json.RawMessage, error) {
	var r json.RawMessage
	err := c.ask(ctx, http.MethodGet, "api/v1/report", nil, &r)
	return r, err
}

// Step takes one of the steps start, pause, resume, cutover, rollback and finish, and waits until it is
// completed. The id is that of a backfill that was started; otherwise the result says what was reached.
func (c *Client) Step(ctx context.Context, name string, o StepOptions) (r Result, id string, err error) {
	var answer struct {
		stepResult
		started
	}
	if err := c.ask(ctx, http.MethodPost, "api/v1/"+name, o, &answer); err != nil {
		return Result{}, "", err
	}
	pause := time.Duration(answer.PauseMs * float64(time.Millisecond))
	return Result{Phase: answer.Phase, Pause: pause, Planned: answer.Planned}, answer.ID, nil
}

// Verify starts a verify.
func (c *Client) Verify(ctx context.Context, o VerifyOptions) (id string, err error) {
	var answer started
	err = c.ask(ctx, http.MethodPost, "api/v1/verify", o, &answer)
	return answer.ID, err
}

// LeadVerify pauses, resumes or cancels a verify.
func (c *Client) LeadVerify(ctx context.Context, id string, step VerifyStep) (status.VerifySummary, error) {
	var answer lastLine
	if err := c.ask(ctx, http.MethodPost, "api/v1/verify/"+url.PathEscape(id)+"/"+string(step), nil, &answer); err != nil {
		return status.VerifySummary{}, err
	}
	if answer.Summary == nil {
		return status.VerifySummary{}, fmt.Errorf("%w: there is no summary", ErrUnreachable)
	}
	return *answer.Summary, nil
}

// VerifyResults is that of Controller.
func (c *Client) VerifyResults(ctx context.Context, id string, from int, yield func(status.Difference) error) (status.VerifySummary, error) {
	response, err := c.send(ctx, http.MethodGet, "api/v1/verify/"+url.PathEscape(id)+"?from="+strconv.Itoa(from), nil)
	if err != nil {
		return status.VerifySummary{}, err
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	for {
		var line json.RawMessage
		if err := decoder.Decode(&line); err != nil {
			return status.VerifySummary{}, fmt.Errorf("%w: the results end too early: %w", ErrUnreachable, err)
		}
		var last lastLine
		if err := json.Unmarshal(line, &last); err != nil {
			return status.VerifySummary{}, fmt.Errorf("%w: the results are no JSON lines: %w", ErrUnreachable, err)
		}
		switch {
		case last.Summary != nil:
			return *last.Summary, nil
		case last.Error != "":
			return status.VerifySummary{}, errors.New(last.Error)
		}
		var d status.Difference
		if err := json.Unmarshal(line, &d); err != nil {
			return status.VerifySummary{}, fmt.Errorf("%w: the results are no differences: %w", ErrUnreachable, err)
		}
		if err := yield(d); err != nil {
			return status.VerifySummary{}, err
		}
	}
}

// ask sends a request and reads its answer of one JSON object.
func (c *Client) ask(ctx context.Context, method, path string, body, answer any) error {
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxStatusBytes)).Decode(answer); err != nil {
		return fmt.Errorf("%w as tandem: read the answer of %s: %w", ErrUnreachable, c, err)
	}
	return nil
}

// send sends a request. The caller closes the body of the response, which is one of success.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.base.String(), "/")+"/"+path, content)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var at *url.Error // says "Get http://...: ", which ErrUnreachable says better
		if errors.As(err, &at) {
			err = at.Err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask %s: %w", c, ctx.Err())
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, c, err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.failed(response)
}

// failed turns an answer that is no success into the error that the Controller returned.
func (c *Client) failed(response *http.Response) error {
	var answer failure
	if err := json.NewDecoder(io.LimitReader(response.Body, maxStatusBytes)).Decode(&answer); err != nil || answer.Error == "" {
		return fmt.Errorf("%w as tandem: %s answered %s", ErrUnreachable, c, response.Status)
	}
	switch response.StatusCode {
	case http.StatusConflict:
		return &Refused{Message: answer.Error, Blockers: answer.Blockers}
	case http.StatusBadRequest:
		return &remoteError{answer.Error, ErrInvalid}
	case http.StatusUnauthorized, http.StatusForbidden:
		return &remoteError{answer.Error, ErrUnauthorized}
	case http.StatusNotFound:
		return &remoteError{answer.Error, ErrUnknownVerify}
	case http.StatusServiceUnavailable:
		return &remoteError{answer.Error, ErrPrimaryDown}
	case http.StatusGatewayTimeout:
		return &remoteError{answer.Error, ErrUndone}
	}
	return errors.New(answer.Error)
}

// remoteError is an error of the server: its words, and what kind it is.
type remoteError struct {
	message string
	kind    error
}

func (e *remoteError) Error() string { return e.message }
func (e *remoteError) Unwrap() error { return e.kind }
