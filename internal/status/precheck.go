package status

// Precheck is the last precheck that a process has made, before a start or because somebody asked for it.
type Precheck struct {
	// At is when it was made, in Unix ms; null if this process has made none.
	At Optional[int64] `json:"at"`
	// Result is success, warning or failed: the worst of the items, without warnings that were accepted; empty before the first.
	Result string `json:"result"`
	// Items are all that was looked at. Never null.
	Items []PrecheckItem `json:"items"`
}

// PrecheckItem is one thing that was looked at.
type PrecheckItem struct {
	Name string `json:"name"`
	// Status is success, warning or failed.
	Status string `json:"status"`
	// Found is what the servers showed, Why why that matters, Remedy what to do; that is empty for a success.
	Found  string `json:"found"`
	Why    string `json:"why"`
	Remedy string `json:"remedy"`
	// Accept is the name under which a warning is accepted; empty for what is none, or was accepted.
	Accept string `json:"accept"`
}
