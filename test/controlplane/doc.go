// Package controlplane compiles, starts and stops a real Kubernetes control
// plane on a bare machine: etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler as plain processes that listen on a loopback address, and
// kubectl to talk to them. It needs Go, no root, no container and, once the
// modules are downloaded, no network.
//
// [Assets] compiles the binaries from the module in hack/controlplane, whose
// go.mod and go.sum pin every source, and keeps them in a cache outside of the
// source tree. [Start] starts a plane with its own certificates, ports and data
// folder, so that any number of planes live side by side. Nothing outlives the
// process that started a plane: [Plane.Stop] ends the components in order, and
// on Linux the kernel ends them when that process dies without a word.
//
// The package uses the standard library only and hack/controlplane holds no Go
// packages, so that importing the starter costs a second and does not pull
// Kubernetes into the module of the caller. The same is offered as a command:
//
//	go run ./test/controlplane/cmd/controlplane build
//	go run ./test/controlplane/cmd/controlplane up
//	go run ./test/controlplane/cmd/controlplane run -- kubectl get namespaces
//	KUBEBUILDER_ASSETS=$(go run ./test/controlplane/cmd/controlplane path) go test ./...
//
// A local plane differs from a cluster in these points: the endpoints
// controllers are off, because Endpoints and EndpointSlices refuse loopback
// addresses; there is no cloud, route or node address controller; etcd does not
// wait for the disk, because a plane's data dies with it.
package controlplane
