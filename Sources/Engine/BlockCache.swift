internal import Adapters
internal import HeapModule
internal import Tensors

/// Who shares blocks of the cache: sequences of one scope find each other's.
package struct PrefixScope: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    /// - Parameter hash: the first 16 bytes of what two scopes must not have in common.
    /// - Precondition: there are as many.
    package init(hash: some Sequence<UInt8>) {
        let bytes = Array(hash.prefix(16))
        precondition(bytes.count == 16, "A scope needs 16 bytes.")
        high = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes[8...].reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// The blocks of the key/value cache: free ones, those that sequences hold, and those that are kept
/// because a later sequence may begin with the same tokens.
///
/// Full blocks form a tree: a node is what one adapter (or none) computed for 16 tokens after all
/// the tokens on the way to it. An adapter that acts from some token on shares the base's nodes
/// before. Nodes are found by the tokens themselves, not by a hash of them, so one sequence can never
/// get another's keys and values by a collision; and as a block's bits do not depend on who computed
/// it, sharing changes no result. A node that nobody holds stays until its block is needed: leaves go
/// first, the one least recently used before the others.
struct BlockCache {
    typealias NodeID = Int

    /// What a sequence holds: its block table and the nodes that its first blocks belong to.
    struct Holding {
        fileprivate(set) var blocks: [Int32] = []
        fileprivate(set) var nodes: [NodeID] = []
        /// Positions that were found and need not be computed.
        fileprivate(set) var foundCount = 0

        /// So that it does not grow while steps are computed.
        mutating func reserveCapacity(_ blockCount: Int) {
            blocks.reserveCapacity(blockCount)
            nodes.reserveCapacity(blockCount)
        }
    }

    /// Whose keys and values a block holds; the base's have none where everybody shares them.
    struct Owner: Hashable {
        var digest: AdapterDigest?
        /// The block's first position where the adapter acted.
        var start: Int
        var scope: PrefixScope?
    }

    /// Who owns each of a sequence's blocks: the base those before the adapter's start.
    struct Owners {
        let digest: AdapterDigest?
        let start: Int
        let scope: PrefixScope?

        subscript(block: Int) -> Owner? {
            let first = block * BlockCache.positions
            guard let digest, start < first + BlockCache.positions else {
                return scope.map { Owner(digest: nil, start: 0, scope: $0) }
            }
            return Owner(digest: digest, start: max(0, start - first), scope: scope)
        }
    }

    private struct Key: Hashable {
        var parent: NodeID
        var owner: Owner?
        var tokens: SIMD16<Int32>

        /// - Parameter block: of the tokens' blocks, which are full up to it.
        init(parent: NodeID, owners: Owners, tokens: [Int32], block: Int) {
            self.parent = parent
            owner = owners[block]
            let first = block * BlockCache.positions
            self.tokens = SIMD16(tokens[first..<first + BlockCache.positions])
        }
    }

    private struct Node {
        var key: Key
        var block: Int32
        /// Sequences that hold it. Whoever holds a node holds its ancestors too.
        var holderCount = 1
        var childCount = 0
        var lastUse = 0
    }

    /// A leaf that nobody held at that time; outdated once the node was used or has gone.
    private struct Candidate: Comparable {
        var lastUse: Int
        var id: NodeID

        static func < (a: Candidate, b: Candidate) -> Bool { (a.lastUse, a.id) < (b.lastUse, b.id) }
    }

    let blockCount: Int
    /// Blocks that may be in use, kept ones included; the rest of the memory is somebody else's.
    private(set) var limit: Int
    /// Blocks kept at most while nobody holds them: using few blocks over and over keeps memory small.
    private let keptLimit: Int
    private var free: [Int32]
    /// Blocks that nobody had any more at some time since `forgetReleased`; some may be somebody's again, who has
    /// not written them yet.
    private(set) var released: [Int32] = []
    /// Blocks from the first on of which any was ever given out: those that take physical memory.
    private(set) var touchedCount = 0
    private var nodes: [NodeID: Node] = [:]
    private var children: [Key: NodeID] = [:]
    /// Above all first blocks; no node has this number.
    private static let root: NodeID = 0
    private var candidates = Heap<Candidate>()
    /// Blocks kept for later sequences: those of nodes that nobody holds.
    private(set) var keptCount = 0
    private var lastID = 0
    private var clock = 0
    /// Positions found so far, over all sequences.
    private(set) var foundCount = 0

    /// - Parameter keptLimit: blocks kept for later sequences at most; 0 keeps none.
    init(blockCount: Int, keptLimit: Int) {
        self.blockCount = blockCount
        limit = blockCount
        self.keptLimit = keptLimit
        free = (0..<Int32(blockCount)).reversed()
        released.reserveCapacity(blockCount)
    }

    private mutating func freeUp(_ block: Int32) {
        free.append(block)
        released.append(block)
    }

    /// Begins to note blocks that nobody has any more anew.
    mutating func forgetReleased() { released.removeAll(keepingCapacity: true) }

    /// Blocks that a sequence may get: free ones and kept ones that nobody holds.
    var availableCount: Int { max(0, limit - heldCount) }

    /// Blocks that sequences hold.
    var heldCount: Int { blockCount - free.count - keptCount }

    /// Changes how many blocks may be in use. Those that sequences hold stay theirs.
    mutating func restrict(to count: Int) {
        limit = min(max(count, 0), blockCount)
        while keptCount > 0, blockCount - free.count > limit { evict() }
    }

    private static let positions = KeyValueCache.blockPositions

    // MARK: Taking and giving

    /// Counts what a sequence that was admitted had found.
    mutating func count(_ holding: Holding) { foundCount += holding.foundCount }

    /// What is already computed of a sequence: as many full blocks as are found, but never its last
    /// token, whose logits are wanted.
    mutating func find(_ tokens: [Int32], owners: Owners) -> Holding {
        var holding = Holding()
        guard keptLimit > 0 else { return holding }
        var parent = BlockCache.root
        let positions = BlockCache.positions
        while (holding.nodes.count + 1) * positions < tokens.count {
            let key = Key(
                parent: parent, owners: owners, tokens: tokens, block: holding.nodes.count)
            guard let id = children[key] else { break }
            parent = id
            holding.nodes.append(id)
            holding.blocks.append(hold(id))
        }
        holding.foundCount = holding.nodes.count * positions
        return holding
    }

    /// Extends a holding to `count` blocks, or leaves it as it is when there are not as many.
    mutating func extend(_ holding: inout Holding, to count: Int) -> Bool {
        let wanted = count - holding.blocks.count
        guard wanted > 0 else { return true }
        guard wanted <= availableCount else { return false }
        while free.count < wanted || blockCount - free.count + wanted > limit { evict() }
        for block in free.suffix(wanted).reversed() {
            holding.blocks.append(block)
            touchedCount = max(touchedCount, Int(block) + 1)
        }
        free.removeLast(wanted)
        return true
    }

    /// Makes the sequence's full blocks known to others, once they are computed.
    ///
    /// A block that another sequence has computed in the meantime is given up for that one: their
    /// bits are the same.
    mutating func keep(
        _ holding: inout Holding, tokens: [Int32], computedCount: Int, owners: Owners
    ) {
        guard keptLimit > 0 else { return }
        let positions = BlockCache.positions
        while (holding.nodes.count + 1) * positions <= computedCount {
            let index = holding.nodes.count
            let parent = holding.nodes.last ?? BlockCache.root
            let key = Key(parent: parent, owners: owners, tokens: tokens, block: index)
            if let id = children[key] {
                freeUp(holding.blocks[index])
                holding.blocks[index] = hold(id)
                holding.nodes.append(id)
            } else {
                lastID += 1
                children[key] = lastID
                nodes[lastID] = Node(key: key, block: holding.blocks[index])
                nodes[parent]?.childCount += 1
                holding.nodes.append(lastID)
            }
        }
    }

    /// Takes back what a sequence held.
    mutating func release(_ holding: consuming Holding) {
        clock += 1
        for block in holding.blocks[holding.nodes.count...].reversed() { freeUp(block) }
        for id in holding.nodes {
            guard var node = nodes[id] else { continue }
            node.holderCount -= 1
            node.lastUse = clock
            nodes[id] = node
            guard node.holderCount == 0 else { continue }
            keptCount += 1
            if node.childCount == 0 { candidates.insert(Candidate(lastUse: clock, id: id)) }
        }
        while keptCount > keptLimit { evict() }
        forgetOutdatedCandidates()
        assert(availableCount <= blockCount, "A block was given back twice.")
    }

    // MARK: Nodes

    /// Without evictions nothing else would take outdated candidates away.
    private mutating func forgetOutdatedCandidates() {
        guard candidates.count > 2 * nodes.count + 64 else { return }
        candidates = Heap(
            nodes.lazy.filter { $1.holderCount == 0 && $1.childCount == 0 }.map {
                Candidate(lastUse: $1.lastUse, id: $0)
            })
    }

    private mutating func hold(_ id: NodeID) -> Int32 {
        guard var node = nodes[id] else {
            preconditionFailure("A node has gone while it was found.")
        }
        if node.holderCount == 0 { keptCount -= 1 }
        node.holderCount += 1
        nodes[id] = node
        return node.block
    }

    private mutating func evict() {
        while let candidate = candidates.popMin() {
            guard let node = nodes[candidate.id], node.holderCount == 0, node.childCount == 0,
                node.lastUse == candidate.lastUse
            else { continue }
            nodes[candidate.id] = nil
            children[node.key] = nil
            freeUp(node.block)
            keptCount -= 1
            let parent = node.key.parent
            nodes[parent]?.childCount -= 1
            if let above = nodes[parent], above.holderCount == 0, above.childCount == 0 {
                candidates.insert(Candidate(lastUse: above.lastUse, id: parent))
            }
            return
        }
        preconditionFailure("Blocks are available that nobody can give.")
    }
}
