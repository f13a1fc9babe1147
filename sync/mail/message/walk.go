package message

// Walk calls fn for an entity and, where it returns true, for the parts of it in order.
func (e *Entity) Walk(fn func(*Entity) bool) {
	if !fn(e) {
		return
	}
	for _, p := range e.Parts {
		p.Walk(fn)
	}
}
