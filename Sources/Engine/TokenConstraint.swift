/// What a completion may be, token by token. The engine keeps a completion's state, a number, and asks.
///
/// Thread-safe. Answers depend on the state alone, so that a completion does not depend on its neighbours.
package protocol TokenConstraint: AnyObject, Sendable {
    /// The state before the first token.
    var start: Int32 { get }

    /// A bit for each token that may come next, end tokens apart, and perhaps for some that `next` does not take; nil when
    /// that takes too much work.
    func allowed(in state: Int32) -> [UInt64]?

    /// The state after a token; nil when it may not come.
    func next(_ state: Int32, _ token: Int32) -> Int32?

    /// Whether the completion may end.
    func mayEnd(in state: Int32) -> Bool

    /// Whether anything may follow.
    func mayContinue(in state: Int32) -> Bool
}
