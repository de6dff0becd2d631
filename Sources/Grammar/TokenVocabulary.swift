/// A tokenizer's tokens as a tree of their bytes, in one array in the order of a walk: what shares a beginning is read once.
public final class TokenVocabulary: Sendable {
    /// A byte of some tokens.
    struct Node {
        var byte: UInt8
        /// Whether all bytes up to here are whole characters that stand for themselves in a JSON string.
        var isPlain: Bool
        /// Where the walk goes on when nothing below this node is wanted.
        var end: Int32
        var depth: Int32
        /// Tokens that end here: the first in `tokens`, and how many. Those that go on come behind them.
        var first: Int32
        var count: Int32
    }

    /// Tokens, in the order of a walk.
    struct Tree {
        var nodes: [Node] = []
        /// Those that have nothing before them, and the bytes that they are.
        var roots: [Int32] = []
        var first = ByteSet()
        var tokens: [Int32] = []
        /// Bytes of the longest.
        var depth = 0

        /// The tokens that end at a node or below it.
        func tokens(from node: Int) -> ArraySlice<Int32> {
            let end = Int(nodes[node].end)
            let last = end < nodes.count ? Int(nodes[end].first) : tokens.count
            return tokens[Int(nodes[node].first)..<last]
        }

        /// The longest token that a text begins with.
        func longest(_ text: ArraySlice<UInt8>) -> (token: Int32, length: Int)? {
            var found: (token: Int32, length: Int)?
            var (place, length) = (0, 0)
            while place < nodes.count, Int(nodes[place].depth) == length,
                let byte = text.dropFirst(length).first
            {
                guard nodes[place].byte == byte else {
                    place = Int(nodes[place].end)
                    continue
                }
                length += 1
                if nodes[place].count > 0 { found = (tokens[Int(nodes[place].first)], length) }
                place += 1
            }
            return found
        }
    }

    /// Tokens that are mostly allowed together.
    struct Group {
        /// All of them are wherever so many characters of a JSON string are, whatever they are: one more than any of them has.
        /// Nil for those that do not stand for themselves in a JSON string.
        var room: Int?
        /// And wherever all texts of a kind are.
        var kind: TextKind?
        var tree: Tree
        var mask: TokenMask
    }

    /// Tokens of up to so many bytes.
    struct Section {
        var longest: Int
        var groups: [Group]
        /// Those that stand for themselves in a JSON string, and what the others are behind such a beginning: all that is
        /// to be looked at where such characters change nothing.
        var plain: TokenMask
        var endings: Tree
    }

    /// Short tokens and the few long ones: how far a count of characters is from its end matters less to the short.
    let sections: [Section]
    let tokenCount: Int
    let bytes: [[UInt8]?]

    /// What a token is, by its number.
    public func bytes(of token: Int) -> [UInt8]? {
        bytes.indices.contains(token) ? bytes[token] : nil
    }

    private static let sizes = [10, 30]
    private static let shortest = 32

    /// - Parameter bytes: of each token by its number, of special ones as `GrammarSource.bytes(ofSpecialToken:)` has them.
    public init(_ bytes: [[UInt8]?]) {
        self.bytes = bytes
        tokenCount = bytes.count
        let tokens = bytes.indices.filter { bytes[$0]?.isEmpty == false }
        func isShort(_ token: Int) -> Bool { bytes[token]?.count ?? 0 <= Self.shortest }
        sections = [tokens.filter(isShort), tokens.filter { !isShort($0) }]
            .filter { !$0.isEmpty }.map { Self.section($0, bytes) }
    }

    private static func section(_ tokens: [Int], _ bytes: [[UInt8]?]) -> Section {
        let kinds: [TextKind?] = TextKind.allCases + [nil]
        var members = [[(token: Int, text: [UInt8])]](
            repeating: [], count: (sizes.count + 1) * kinds.count)
        var plain = TokenMask(tokenCount: bytes.count)
        var endings: [(token: Int, text: [UInt8])] = []
        for token in tokens {
            let text = bytes[token] ?? []
            let ending = Array(text.dropFirst(TextKind.plain.prefix(text)))
            if ending.isEmpty { plain.insert(token) } else { endings.append((token, ending)) }
            let count = text.lazy.filter { $0 & 0xC0 != 0x80 }.count
            let size = ending.isEmpty ? sizes.firstIndex { count <= $0 } : nil
            let kind = size.flatMap { _ in TextKind(text) }?.rawValue ?? kinds.count - 1
            members[(size ?? sizes.count) * kinds.count + kind].append((token, text))
        }
        let groups = members.enumerated().filter { !$0.element.isEmpty }.map { index, tokens in
            var mask = TokenMask(tokenCount: bytes.count)
            for (token, _) in tokens { mask.insert(token) }
            let size = index / kinds.count
            return Group(
                room: size < sizes.count ? sizes[size] + 1 : nil,
                kind: kinds[index % kinds.count], tree: tree(tokens), mask: mask)
        }
        return Section(
            longest: tokens.reduce(0) { max($0, bytes[$1]?.count ?? 0) }, groups: groups,
            plain: plain, endings: tree(endings))
    }

    /// Cuts the beginning of a text into the longest tokens that there are. The last one is left out: with what follows it
    /// may be part of a longer one.
    func cut(_ text: [UInt8]) -> [Int32] {
        var tokens: [Int32] = []
        var rest = text[...]
        while let token = trees.lazy.compactMap({ $0.longest(rest) }).max(by: {
            $0.length < $1.length
        }) {
            tokens.append(token.token)
            rest = rest.dropFirst(token.length)
        }
        return Array(tokens.dropLast())
    }

    private var trees: [Tree] { sections.flatMap { $0.groups.map(\.tree) } }

    private static func tree(_ tokens: [(token: Int, text: [UInt8])]) -> Tree {
        var tree = Tree()
        // Nodes on the way to the last token.
        var path: [Int] = []
        for (token, text) in tokens.sorted(by: { $0.text.lexicographicallyPrecedes($1.text) }) {
            tree.depth = max(tree.depth, text.count)
            var shared = 0
            while shared < path.count, shared < text.count,
                tree.nodes[path[shared]].byte == text[shared]
            { shared += 1 }
            while path.count > shared {
                tree.nodes[path.removeLast()].end = Int32(tree.nodes.count)
            }
            if shared == 0 {
                tree.roots.append(Int32(tree.nodes.count))
                tree.first.insert(text[0])
            }
            let plainCount = TextKind.plain.prefix(text)
            for depth in shared..<text.count {
                let isWhole = depth + 1 == text.count || text[depth + 1] & 0xC0 != 0x80
                path.append(tree.nodes.count)
                tree.nodes.append(
                    Node(
                        byte: text[depth], isPlain: isWhole && depth < plainCount, end: 0,
                        depth: Int32(depth), first: Int32(tree.tokens.count), count: 0))
            }
            tree.nodes[path[path.count - 1]].count += 1
            tree.tokens.append(Int32(token))
        }
        while let node = path.popLast() { tree.nodes[node].end = Int32(tree.nodes.count) }
        return tree
    }
}
