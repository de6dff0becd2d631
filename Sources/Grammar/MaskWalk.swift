/// The work on the mask of a state, as far as it has come: a walk over a section's tokens.
///
/// What needs no walk is found first. Where plain characters change nothing, tokens matter by what they are behind them. And
/// where they soon lead to such a state, as in the name of a property that must not be one of some, its mask is right for
/// all that comes behind.
struct MaskWalk {
    private(set) var mask: TokenMask
    private let state: Int32
    /// Where most texts lead: a state that plain characters do not change.
    private(set) var base: Int32?
    private var stays = false
    /// Bytes that may come first, as far as they have been looked at.
    private var first = ByteSet()
    private var nextByte = 0
    private var isPrepared = false
    /// Of the section's groups.
    private var group = 0
    /// Of the tree's roots.
    private var root = 0
    private var place = 0
    /// The state before each byte of the way.
    private var states: [Int32] = []

    /// For a byte.
    static let mostWork = 400_000

    init(_ state: Int32, tokenCount: Int) {
        self.state = state
        mask = TokenMask(tokenCount: tokenCount)
    }

    /// Looks at what may come first, and what it leads to.
    ///
    /// - Parameters:
    ///   - done: work so far, and `work`: what may be done at once.
    /// - Returns: whether nothing is left to look at.
    mutating func prepare(
        _ machine: inout Machine, _ done: inout Int, _ work: Int
    ) throws(GrammarError) -> Bool {
        if isPrepared { return true }
        while nextByte < 256 {
            let isAllowed = try machine.next(state, UInt8(nextByte)) != nil
            let end = machine.classEnd(nextByte)
            if isAllowed { first = first.union(ByteSet(UInt8(nextByte)...UInt8(end - 1))) }
            nextByte = end
            count(&machine, &done)
            if done > work { return false }
        }
        stays = try machine.stays(state, done: &done, limit: work)
        if !stays, first.contains(Self.probe), let next = try machine.next(state, Self.probe),
            try machine.stays(next, done: &done, limit: work)
        {
            base = next
        }
        count(&machine, &done)
        isPrepared = true
        return done <= work
    }

    /// Each byte has its own bound, and all together have the caller's.
    private func count(_ machine: inout Machine, _ done: inout Int) {
        done += machine.work
        machine.allow(work: Self.mostWork)
    }

    /// A character that hardly any name has.
    private static let probe: UInt8 = 0x7F

    /// Goes on.
    ///
    /// - Parameters:
    ///   - baseMask: of the base, if there is one.
    ///   - done: work so far, and `work`: what may be done at once.
    /// - Returns: whether the mask is complete.
    mutating func advance(
        in section: TokenVocabulary.Section, _ baseMask: TokenMask?, _ machine: inout Machine,
        _ done: inout Int, _ work: Int
    ) throws(GrammarError) -> Bool {
        if stays {
            mask.formUnion(section.plain)
            return try walk(section.endings, hasBase: false, &machine, &done, work)
        }
        let room = machine.plainRoom(state)
        while group < section.groups.count {
            let tokens = section.groups[group]
            let begins = root == 0 && place == 0
            var isAllowed = tokens.room.map { $0 <= room } ?? false
            if !isAllowed, begins, let kind = tokens.kind,
                tokens.tree.first.intersection(first) == tokens.tree.first
            {
                isAllowed = try machine.allows(
                    kind, upTo: tokens.tree.depth, state, done: &done, limit: work)
            }
            if isAllowed {
                mask.formUnion(tokens.mask)
            } else {
                let hasBase = baseMask != nil
                if let baseMask, begins { mask.formUnion(baseMask, within: tokens.mask) }
                guard try walk(tokens.tree, hasBase: hasBase, &machine, &done, work) else {
                    return false
                }
            }
            group += 1
            root = 0
            if done > work, group < section.groups.count { return false }
        }
        return true
    }

    /// - Parameter hasBase: whether the mask has the base's tokens already.
    private mutating func walk(
        _ tree: TokenVocabulary.Tree, hasBase: Bool, _ machine: inout Machine,
        _ done: inout Int, _ work: Int
    ) throws(GrammarError) -> Bool {
        if root == 0, place == 0 {
            states = [Int32](repeating: state, count: tree.depth + 1)
        }
        while root < tree.roots.count {
            let beginning = Int(tree.roots[root])
            guard first.contains(tree.nodes[beginning].byte) else {
                if hasBase { mask.remove(tree.tokens(from: beginning)) }
                root += 1
                continue
            }
            if place == 0 { place = beginning }
            let end = Int(tree.nodes[beginning].end)
            while place < end {
                let node = tree.nodes[place]
                let depth = Int(node.depth)
                guard let next = try machine.next(states[depth], node.byte) else {
                    if hasBase { mask.remove(tree.tokens(from: place)) }
                    place = Int(node.end)
                    continue
                }
                if hasBase, node.isPlain, next == base {
                    place = Int(node.end)
                    continue
                }
                states[depth + 1] = next
                mask.insert(tree.tokens[Int(node.first)..<Int(node.first + node.count)])
                place += 1
                if machine.work > 0 {
                    count(&machine, &done)
                    if done > work, place < end { return false }
                }
            }
            place = 0
            root += 1
            if done > work, root < tree.roots.count { return false }
        }
        return true
    }
}
