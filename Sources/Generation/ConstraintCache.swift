package import Engine
internal import Grammar
internal import Synchronization
internal import Tokenization

/// Grammars over a tokenizer's tokens, compiled once and shared by all adapters and requests that ask for the same.
final class ConstraintCache: Sendable {
    private let tokenizer: Tokenizer
    private let state = Mutex(State())
    private static let mostGrammars = 64
    private static let mostBytes = 64 << 20

    private struct State {
        var vocabulary: TokenVocabulary?
        var grammars: [GrammarSource: GrammarConstraint] = [:]
        /// The least recently asked for first.
        var order: [GrammarSource] = []
    }

    init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    /// Compiles a grammar unless it is there. Takes as long as that takes: not for an event loop.
    func constraint(_ source: GrammarSource) throws(GrammarError) -> GrammarConstraint {
        let known: GrammarConstraint? = state.withLock { state in
            guard let found = state.grammars[source] else { return nil }
            state.order.removeAll { $0 == source }
            // What texts of all kinds have made too large begins anew.
            guard found.grammar.byteCount <= Self.mostBytes else {
                state.grammars[source] = nil
                return nil
            }
            state.order.append(source)
            return found
        }
        if let known { return known }
        let made = GrammarConstraint(try CompiledGrammar(source, vocabulary))
        state.withLock { state in
            state.order.removeAll { $0 == source }
            state.grammars[source] = made
            state.order.append(source)
            while state.order.count > Self.mostGrammars {
                state.grammars[state.order.removeFirst()] = nil
            }
        }
        return made
    }

    /// Made for the first grammar: it takes a moment.
    private var vocabulary: TokenVocabulary {
        state.withLock { state in
            if let known = state.vocabulary { return known }
            let made = TokenVocabulary(
                (0..<tokenizer.tokenCount).map { id in
                    let bytes = tokenizer.bytes(of: id)
                    return tokenizer.isSpecial(id)
                        ? GrammarSource.bytes(ofSpecialToken: bytes) : bytes
                })
            state.vocabulary = made
            return made
        }
    }
}

/// A grammar as the engine asks it.
package final class GrammarConstraint: TokenConstraint {
    let grammar: CompiledGrammar

    init(_ grammar: CompiledGrammar) { self.grammar = grammar }

    package var start: Int32 { grammar.start }
    package func allowed(in state: Int32) -> AllowedTokens {
        do {
            return try grammar.mask(state, work: Self.workAtOnce).map { .mask($0) } ?? .pending
        } catch {
            return .unknown
        }
    }
    /// Some milliseconds' worth: nearly every mask takes less.
    private static let workAtOnce = 4_000
    package func next(_ state: Int32, _ token: Int32) -> Int32? {
        (try? grammar.next(state, token)) ?? nil
    }
    package func forced(in state: Int32) -> [Int32] { grammar.forced(state) }
    package func mayEnd(in state: Int32) -> Bool { grammar.mayEnd(state) }
    package func mayContinue(in state: Int32) -> Bool { grammar.mayContinue(state) }
}
