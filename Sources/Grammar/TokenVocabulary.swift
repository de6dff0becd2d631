/// A tokenizer's tokens as a tree of their bytes, in one array in the order of a walk: what shares a beginning is read once.
public final class TokenVocabulary: Sendable {
    /// A byte of some tokens.
    struct Node {
        var byte: UInt8
        /// Where the walk goes on when nothing below this node is wanted.
        var end: Int32
        var depth: Int32
        /// Tokens that end here: the first in `tokens`, and how many.
        var first: Int32
        var count: Int32
    }

    /// Tokens, in the order of a walk.
    struct Tree {
        var nodes: [Node] = []
        var tokens: [Int32] = []
        /// Bytes of the longest.
        var depth = 0

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

    /// Tokens that are all allowed wherever so many characters of a JSON string are, whatever they are.
    struct Slice {
        /// More than any of its tokens has.
        var room: Int
        var tree: Tree
        /// A bit for each.
        var mask: [UInt64]
    }

    /// Tokens of a few and of more characters that stand for themselves in a JSON string.
    let slices: [Slice]
    let others: Tree
    let tokenCount: Int
    let bytes: [[UInt8]?]
    /// Of the longest token.
    let longest: Int

    private static let sizes = [10, 30]

    /// - Parameter bytes: of each token by its number, of special ones as `GrammarSource.bytes(ofSpecialToken:)` has them.
    public init(_ bytes: [[UInt8]?]) {
        self.bytes = bytes
        tokenCount = bytes.count
        longest = bytes.reduce(0) { max($0, $1?.count ?? 0) }
        let order = bytes.indices.filter { bytes[$0]?.isEmpty == false }.sorted {
            (bytes[$0] ?? []).lexicographicallyPrecedes(bytes[$1] ?? [])
        }
        var groups: [[Int]] = Array(repeating: [], count: Self.sizes.count + 1)
        for token in order {
            let size = Self.plainCount(bytes[token] ?? [])
            let group = size.flatMap { size in Self.sizes.firstIndex { size <= $0 } }
            groups[group ?? Self.sizes.count].append(token)
        }
        slices = Self.sizes.enumerated().map { index, size in
            var mask = [UInt64](repeating: 0, count: (bytes.count + 63) / 64)
            for token in groups[index] { mask[token / 64] |= 1 << UInt64(token % 64) }
            return Slice(room: size + 1, tree: Self.tree(groups[index], bytes), mask: mask)
        }
        others = Self.tree(groups[Self.sizes.count], bytes)
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

    private var trees: [Tree] { slices.map(\.tree) + [others] }

    /// The characters of a text that stands for itself in a JSON string; nil for another.
    private static func plainCount(_ bytes: [UInt8]) -> Int? {
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x22 && $0 != 0x5C }),
            let text = String(validating: bytes, as: UTF8.self),
            text.unicodeScalars.allSatisfy({ CharacterRanges.sliced.has($0.value) })
        else { return nil }
        return text.unicodeScalars.count
    }

    private static func tree(_ order: [Int], _ bytes: [[UInt8]?]) -> Tree {
        var tree = Tree()
        // Nodes on the way to the last token.
        var path: [Int] = []
        for token in order {
            let text = bytes[token] ?? []
            tree.depth = max(tree.depth, text.count)
            var shared = 0
            while shared < path.count, shared < text.count,
                tree.nodes[path[shared]].byte == text[shared]
            { shared += 1 }
            while path.count > shared {
                tree.nodes[path.removeLast()].end = Int32(tree.nodes.count)
            }
            for depth in shared..<text.count {
                path.append(tree.nodes.count)
                tree.nodes.append(
                    Node(byte: text[depth], end: 0, depth: Int32(depth), first: 0, count: 0))
            }
            let last = path[path.count - 1]
            if tree.nodes[last].count == 0 { tree.nodes[last].first = Int32(tree.tokens.count) }
            tree.nodes[last].count += 1
            tree.tokens.append(Int32(token))
        }
        while let node = path.popLast() { tree.nodes[node].end = Int32(tree.nodes.count) }
        return tree
    }
}
