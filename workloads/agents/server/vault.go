package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/narrows-profiler/narrows/workloads/agents/collective"
)

// store has the answer kept as a reusable semantic unit, under a name that the agent and
// the task give it, so that the same task is kept once.
func (p Partners) store(ctx context.Context, _ string, draft *collective.Draft) (string, error) {
	text := draft.Compose()
	id := draft.Agent.Codename + "-" + draft.Digest
	target := p.sigmavault.JoinPath("rsus", id)
	target.RawQuery = url.Values{
		"semantic_hash": {draft.Digest}, "original_token_count": {strconv.Itoa(len(strings.Fields(text)))},
	}.Encode()
	var reply struct {
		Success *bool  `json:"success"`
		Error   any    `json:"error"`
		ID      string `json:"rsu_id"`
	}
	if err := p.exchange(ctx, http.MethodPut, target, "application/octet-stream", []byte(text), &reply); err != nil {
		return "", err
	}
	switch {
	case reply.Success != nil && !*reply.Success:
		return "", reported(reply.Error)
	case reply.ID != id:
		return "", fmt.Errorf("its answer is about the unit %.80q and not %q", reply.ID, id)
	}
	return fmt.Sprintf("keeps %d bytes as %s.", len(text), id), nil
}
