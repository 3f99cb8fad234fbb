package admin

import (
	"context"
	"fmt"
	"net/http"

	"tandem/internal/history"
	"tandem/internal/journal"
)

// History asks how the migration has fared since a time, in Unix ms; 0 is the last hour.
func (c *Client) History(ctx context.Context, after int64) (history.Series, error) {
	var s history.Series
	err := c.ask(ctx, http.MethodGet, fmt.Sprintf("api/v1/history?after=%d", after), nil, &s)
	return s, err
}

// LastEvents asks for the last events behind number after, oldest first.
func (c *Client) LastEvents(ctx context.Context, after int64, most int) ([]journal.Event, error) {
	var answer eventsAnswer
	err := c.ask(ctx, http.MethodGet, fmt.Sprintf("api/v1/events?after=%d&last=%d", after, most), nil, &answer)
	return answer.Events, err
}
