package service

import (
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

	"github.com/narrows-profiler/narrows/workloads/child"
)

// healthTimeout bounds each question whether a service is there.
const healthTimeout = 5 * time.Second

// Connect reaches a service that runs already, given by its URL. It asks /health
// and /v1/models, one of which has to answer 200, and looks for the process
// behind the port on this host. The error says what failed, why, and what to do.
func Connect(ctx context.Context, name, address string) (Endpoint, error) {
	target, err := url.Parse(address)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Hostname() == "" {
		return Endpoint{}, fmt.Errorf("the address of %s, %q, is not a URL such as http://127.0.0.1:8000: give --target %s=URL", name, address, name)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       healthTimeout,
	}
	_, healthErr := get(ctx, client, target.JoinPath("health"))
	models, modelsErr := get(ctx, client, target.JoinPath("v1/models"))
	if healthErr != nil && modelsErr != nil {
		return Endpoint{}, fmt.Errorf("reaching %s at %s: %w; start the service, or correct --target %s=URL", name, target.Redacted(), errors.Join(healthErr, modelsErr), name)
	}
	endpoint := Endpoint{Service: name, Kind: External, URL: strings.TrimSuffix(target.String(), "/")}
	if modelsErr == nil {
		endpoint.Model = firstModel(models)
	}
	endpoint.PID, endpoint.PIDUnknown = locate(ctx, target)
	return endpoint, nil
}

// get returns the body of a 200 answer.
func get(ctx context.Context, client *http.Client, target *url.URL) ([]byte, error) {
	const most = 1 << 20
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("building a request for %s: %w", target.Path, err)
	}
	response, err := client.Do(request)
	if err != nil {
		var transport *url.Error
		if errors.As(err, &transport) {
			err = transport.Err
		}
		return nil, fmt.Errorf("GET %s: %w", target.Path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, most))
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: HTTP %d: %q", target.Path, response.StatusCode, child.Printable(string(body[:min(len(body), 200)])))
	}
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", target.Path, err)
	}
	return body, nil
}

// firstModel returns the first model of an OpenAI-style list, empty if there is
// none.
func firstModel(body []byte) string {
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &list) != nil || len(list.Data) == 0 {
		return ""
	}
	return child.Printable(list.Data[0].ID)
}

// locate returns the process that listens at target, or 0 and why it is unknown.
func locate(ctx context.Context, target *url.URL) (pid int, unknown string) {
	port := 80
	if target.Scheme == "https" {
		port = 443
	}
	if text := target.Port(); text != "" {
		number, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return 0, fmt.Sprintf("its port %q is no number", text)
		}
		port = int(number)
	}
	addresses, err := net.DefaultResolver.LookupIP(ctx, "ip", target.Hostname())
	if err != nil {
		return 0, fmt.Sprintf("its host could not be resolved: %v", err)
	}
	here, err := onThisHost(addresses)
	if err != nil {
		return 0, err.Error()
	}
	if !here {
		return 0, target.Hostname() + " is another host"
	}
	pid, err = FindListener(port)
	if err != nil {
		return 0, err.Error()
	}
	return pid, ""
}

func onThisHost(addresses []net.IP) (bool, error) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("listing this host's addresses: %w", err)
	}
	for _, address := range addresses {
		if address.IsLoopback() {
			return true, nil
		}
		for _, candidate := range own {
			if network, ok := candidate.(*net.IPNet); ok && network.IP.Equal(address) {
				return true, nil
			}
		}
	}
	return false, nil
}
