//go:build tools

// What `go mod tidy` keeps in go.mod: Compose, which tests/lab/readers.py builds.
package tools

import _ "github.com/docker/compose/v5/cmd"
