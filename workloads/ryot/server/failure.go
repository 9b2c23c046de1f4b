package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// failure is an error that is told to the client.
type failure struct {
	status  int
	message string
	param   string // the request's field that is wrong, if one is
	code    string
}

func (f failure) Error() string { return f.message }

// invalid is a request that the client must change.
func invalid(param, format string, args ...any) failure {
	return failure{http.StatusBadRequest, fmt.Sprintf(format, args...), param, "invalid_value"}
}

// errorObject is OpenAI's form of an error.
type errorObject struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// object gives the failure as it is sent.
func (f failure) object() errorObject {
	body := errorBody{Message: f.message, Type: "invalid_request_error"}
	if f.status >= 500 {
		body.Type = "server_error"
	}
	if f.param != "" {
		body.Param = &f.param
	}
	if f.code != "" {
		body.Code = &f.code
	}
	return errorObject{body}
}

// fail answers with an error object.
func fail(w http.ResponseWriter, f failure) { answer(w, f.status, f.object()) }

// answer sends a whole JSON document. A client that has gone away cannot be
// told so, hence no error.
func answer(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// Over a recorder instead of a connection there are no deadlines.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
