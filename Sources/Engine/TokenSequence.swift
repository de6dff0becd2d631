package import Adapters
internal import Tensors

/// Names a request inside the engine.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    private let number: UInt64

    package init(_ number: UInt64) { self.number = number }

    package var description: String { "r\(number)" }
}

/// What the engine is asked to do: token ids in, token ids out.
package struct EngineRequest: Sendable {
    package var id: RequestID
    package let prompt: [Int32]
    package let adapter: DeviceAdapter?
    /// The adapter's name, for reports.
    package var adapterName: String?
    /// Whatever the adapter's owner wants kept alive as long as the request is.
    package var lease: (any AnyObject & Sendable)?
    /// Whose it is, and how urgent.
    package let flow: Flow
    /// Who finds its blocks in the cache, and whose blocks it finds; nil for everybody without one.
    package let prefixScope: PrefixScope?
    package var parameters: SamplingParameters
    /// What the completion may be; nil for anything.
    package let constraint: (any TokenConstraint)?
    /// What the completion may be like: only a draft.
    package let prediction: [Int32]
    /// The first position where the adapter acts; 0 for most, nowhere if what invokes it is not in the
    /// prompt.
    let adapterStart: Int

    package init(
        id: RequestID, prompt: [Int32], adapter: DeviceAdapter?, adapterName: String?,
        lease: (any AnyObject & Sendable)? = nil, flow: Flow = Flow(),
        prefixScope: PrefixScope? = nil, parameters: SamplingParameters,
        constraint: (any TokenConstraint)? = nil, prediction: [Int32] = []
    ) {
        self.id = id
        self.prompt = prompt
        self.adapter = adapter
        self.adapterName = adapterName
        self.lease = lease
        self.flow = flow
        self.prefixScope = prefixScope
        self.parameters = parameters
        self.constraint = constraint
        self.prediction = prediction
        adapterStart = adapter?.start(in: prompt) ?? 0
    }

    /// Whose keys and values the blocks of the sequence hold.
    var owners: BlockCache.Owners {
        BlockCache.Owners(digest: adapter?.digest, start: adapterStart, scope: prefixScope)
    }
}

/// A request on its way: tokens known and tokens computed. A step computes some of the difference,
/// which makes prefill, decode, chunks and recomputation after a preemption the same thing.
struct TokenSequence {
    let request: EngineRequest
    /// Where what is computed for it is counted.
    let lane: FairShares.LaneID
    /// Prompt, then completion.
    private(set) var tokens: [Int32]
    /// Tokens whose keys and values are in the cache.
    var computedCount = 0
    var holding = BlockCache.Holding()
    /// How often each token is in the completion; kept only for penalties.
    private(set) var completionCounts: [Int32: Int] = [:]
    private(set) var promptTokens: Set<Int32> = []
    /// Tokens of the prompt that were in the cache when the sequence was first admitted.
    var foundPromptCount: Int?
    private var drafts = Drafts()
    /// Tokens that were drafted, and those of them that came true.
    var draftedCount = 0
    var acceptedCount = 0
    /// How long the device has worked for it, by its share of each step's rows.
    var deviceSeconds = 0.0
    /// Steps that it was in, and the other sequences in them.
    var stepCount = 0
    var neighbourCount = 0
    /// Tokens computed since it was admitted last, and how many there must be before it steps aside for another owner.
    var seatTokenCount = 0
    var leastSeatTokens = TokenSequence.leastSeatTokens
    static let leastSeatTokens = 16
    /// Known tokens that have been counted as computed.
    private var countedCount = 0
    /// Where the completion is in its constraint.
    private(set) var constraintState: Int32 = 0
    /// The sum of the hidden states so far that make the prompt's vector, and how many they are.
    private(set) var hiddenSum: [Float] = []
    private(set) var hiddenCount = 0
    /// Scores of prompt tokens 1, 2, … so far.
    var promptScores: [TokenScores] = []

    init(_ request: EngineRequest, lane: FairShares.LaneID) {
        self.request = request
        self.lane = lane
        tokens = request.prompt
        constraintState = request.constraint?.start ?? 0
        if request.parameters.repetitionPenalty != 1 { promptTokens = Set(request.prompt) }
    }

    var id: RequestID { request.id }

    var promptCount: Int { request.prompt.count }
    var completionCount: Int { tokens.count - promptCount }
    /// Whether blocks that others computed will do: not when every row's logits are wanted.
    var mayFindBlocks: Bool {
        request.parameters.promptLogprobCount == nil && request.parameters.pooling != .mean
    }
    var uncomputedCount: Int { tokens.count - computedCount }
    var isPrefilling: Bool { uncomputedCount > 1 }
    /// Whether the next step chooses a token that follows its last one.
    var isDecoding: Bool { uncomputedCount == 1 && wantsToken }

    /// Tokens of the completion that have been computed since the last call; what is computed again does not count.
    mutating func countOutputs() -> Int {
        let before = max(countedCount, promptCount)
        countedCount = max(countedCount, computedCount)
        return max(0, computedCount - before)
    }

    /// Makes room for all tokens to come, so that no step has to.
    mutating func reserveRoom(maximumContext: Int) {
        let longest = min(
            promptCount + min(request.parameters.maximumTokens, maximumContext), maximumContext)
        tokens.reserveCapacity(longest)
        let positions = KeyValueCache.blockPositions
        holding.reserveCapacity((longest + positions - 1) / positions)
    }

    /// Appends the token that was chosen, if one is wanted.
    ///
    /// - Returns: what the request is told.
    mutating func take(
        _ token: Int32?, scores: TokenScores?, maximumContext: Int
    ) -> EngineEvent.Step {
        var event = EngineEvent.Step()
        event.foundPromptCount = foundPromptCount ?? 0
        event.draftedCount = draftedCount
        event.acceptedCount = acceptedCount
        event.deviceSeconds = deviceSeconds
        event.stepCount = stepCount
        event.neighbourCount = neighbourCount
        if completionCount == 0, request.parameters.promptLogprobCount != nil {
            event.promptScores = promptScores
        }
        if request.parameters.pooling != nil {
            event.vector = hiddenSum.map { $0 / Float(max(1, hiddenCount)) }
        }
        event.token = token
        event.scores = scores
        event.finish = .length
        if let token {
            tokens.append(token)
            if request.parameters.changesLogits { completionCounts[token, default: 0] += 1 }
            event.finish = finish(after: token, maximumContext: maximumContext)
        }
        return event
    }

    private mutating func finish(after token: Int32, maximumContext: Int) -> FinishReason? {
        let parameters = request.parameters
        if parameters.endTokens.contains(token) { return .endToken(token) }
        if let constraint = request.constraint {
            constraintState = constraint.next(constraintState, token) ?? constraintState
            if !constraint.mayContinue(in: constraintState) { return .complete }
        }
        let isLong =
            completionCount >= parameters.maximumTokens || tokens.count >= maximumContext
        return isLong ? .length : nil
    }

    // MARK: Drafts

    /// What may come next, for a step to verify.
    ///
    /// - Parameter most: tokens.
    mutating func draft(most: Int, maximumContext: Int) -> ArraySlice<Int32> {
        // One token is chosen in any case.
        let room = min(
            request.parameters.maximumTokens - completionCount, maximumContext - tokens.count)
        return drafts.next(
            after: tokens, completionCount: completionCount, prediction: request.prediction,
            forced: request.constraint?.forced(in: constraintState) ?? [],
            most: min(most, room - 1, Drafts.most))
    }

    /// Notes how many tokens of a draft came true.
    mutating func note(drafted: Int, accepted: Int) {
        drafts.note(drafted: drafted, accepted: accepted)
    }

    /// Whether a token may be the next one.
    func allows(_ token: Int32) -> Bool {
        guard let constraint = request.constraint else { return true }
        if request.parameters.endTokens.contains(token) {
            return constraint.mayEnd(in: constraintState)
        }
        return constraint.next(constraintState, token) != nil
    }

    /// Whether the prompt's scores are still wanted from row `position` on.
    func wantsScore(after position: Int) -> Bool {
        request.parameters.promptLogprobCount != nil && position + 1 < promptCount
            && position >= promptScores.count
    }

    // MARK: Vectors

    /// Whether the hidden state of row `position` goes into the prompt's vector, and has not yet.
    func pools(_ position: Int) -> Bool {
        switch request.parameters.pooling {
        case nil: false
        case .last: position + 1 == promptCount
        case .mean: position >= hiddenCount && position < promptCount
        }
    }

    /// Adds a hidden state. They come in the order of their positions, so the sum does not depend on chunks.
    mutating func pool(_ hidden: [Float]) {
        if hiddenSum.isEmpty { hiddenSum = Array(repeating: 0, count: hidden.count) }
        for index in hidden.indices { hiddenSum[index] += hidden[index] }
        hiddenCount += 1
    }

    /// Whether the next token is to be chosen once everything is computed.
    var wantsToken: Bool { completionCount < request.parameters.maximumTokens }
}
