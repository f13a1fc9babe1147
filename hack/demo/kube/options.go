package kube

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	getOptions  = metav1.GetOptions{}
	listOptions = metav1.ListOptions{}
)

// PatchOptions are those of the demonstration's own writes.
var PatchOptions = metav1.PatchOptions{FieldManager: "bailiwick-demo"}
