/// Work that is shared by all who ask for the same.
struct Flight<Value: Sendable>: Sendable {
    let work: Task<Value, any Error>
    /// Whether nobody waited for it when it began.
    let isBackground: Bool

    init(_ work: Task<Value, any Error>) {
        self.work = work
        isBackground = ClimbThrottle.isBackground
    }
}
