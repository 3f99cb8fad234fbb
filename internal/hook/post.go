package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The headers of a request. A receiver that shares the secret computes the signature anew, compares, and refuses what
// is older than some minutes, so that nobody can send it again; and what it has seen by its id.
const (
	// headerTimestamp is when the request was sent, in Unix seconds.
	headerTimestamp = "Tandem-Timestamp"
	// headerSignature is "v1=" and the HMAC-SHA256, in hex, of the timestamp, a dot, and the body.
	headerSignature = "Tandem-Signature"
	// headerID is the message's id.
	headerID = "Tandem-Event"
)

// maxAnswer is how much of an answer is read, so that the connection can be used again.
const maxAnswer = 64 << 10

// client follows no redirect: the signature, and what the event says, are for the host that was configured. Proxies of
// the environment (HTTPS_PROXY) count.
var client = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 1,
		IdleConnTimeout:     30 * time.Second,
	},
}

// finalError is one that trying again does not mend.
type finalError struct{ error }

func isFinal(err error) bool {
	var f finalError
	return errors.As(err, &f)
}

// Sign is the signature of a body sent at a time in Unix seconds.
func Sign(secret string, timestamp int64, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.", timestamp)
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// post sends a message once.
func (h *Hook) post(ctx context.Context, id string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.opt.URL, bytes.NewReader(body))
	if err != nil {
		return finalError{errors.New("the URL is not one")} // the error would repeat it
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "tandem")
	request.Header.Set(headerID, id)
	secret, err := h.secret()
	if err != nil {
		return fmt.Errorf("the secret: %w", err)
	}
	now := time.Now().Unix()
	request.Header.Set(headerTimestamp, strconv.FormatInt(now, 10))
	if secret != "" {
		request.Header.Set(headerSignature, Sign(secret, now, body))
	}
	response, err := client.Do(request)
	if err != nil {
		var at *url.Error // it repeats the URL
		if errors.As(err, &at) {
			err = at.Err
		}
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // what it says is of no interest
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code == http.StatusTooEarly || code >= 500:
		return fmt.Errorf("it answered %s", response.Status)
	default:
		return finalError{fmt.Errorf("it answered %s", response.Status)}
	}
}

func (h *Hook) secret() (string, error) {
	if h.opt.Secret == nil {
		return "", nil
	}
	return h.opt.Secret()
}
