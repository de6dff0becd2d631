/// What a completion may be, token by token. The engine keeps a completion's state, a number, and asks.
///
/// Thread-safe. Answers depend on the state alone, so that a completion does not depend on its neighbours.
package protocol TokenConstraint: AnyObject, Sendable {
    /// The state before the first token.
    var start: Int32 { get }

    /// Which tokens may come next, end tokens apart, and perhaps some that `next` does not take.
    func allowed(in state: Int32) -> AllowedTokens

    /// The state after a token; nil when it may not come.
    func next(_ state: Int32, _ token: Int32) -> Int32?

    /// Tokens that probably come next because the text has no choice; only a draft, and empty for most states.
    func forced(in state: Int32) -> [Int32]

    /// Whether the completion may end.
    func mayEnd(in state: Int32) -> Bool

    /// Whether anything may follow.
    func mayContinue(in state: Int32) -> Bool
}

/// What a constraint says of the next token.
package enum AllowedTokens: Sendable {
    /// A bit for each that may come.
    case mask([UInt64])
    /// Part of the work is done: ask again. Others are not kept waiting meanwhile.
    case pending
    /// It takes too much work.
    case unknown
}
