// Package openai is a client of OpenAI's chat completions interface, as vLLM,
// llama.cpp's server, Ollama and Ryot speak it, made for measuring: it streams
// one answer at a time, notes when each piece of content arrived, and names what
// went wrong by kind instead of hanging or passing a wrong time for a latency.
//
// [Client.Stream] gives an [Answer]; [Reader] beneath it reads server-sent
// events from any byte stream within hard caps.
package openai
