package import ModelFiles
internal import Synchronization
package import Tensors

/// An adapter ready to compute: A and B packed like base weights, one shrink for each shared input,
/// all of it in one piece of memory.
///
/// Immutable. Whoever holds a reference keeps it alive, so a sequence finishes on the adapter that
/// it began with, whatever its name points to by then.
package final class DeviceAdapter: Sendable {
    package let digest: AdapterDigest
    package let shape: AdapterShape
    /// What it says beside its weights; nil for most.
    package let text: AdapterText?
    /// See `AdapterFile`.
    let isTokenized: Bool
    /// What the adapter says it was trained on.
    package let baseModelName: String?
    /// By `DeviceAdapter.update`.
    package let table: LowRankTable
    /// The same by `DeviceAdapter.expertUpdate`; nil where it changes no expert and no router.
    package let expertTable: LowRankTable?
    /// Nil for most.
    package let own: OwnWeights?
    /// Whether logits are another function of the last hidden states than the base's.
    package let changesLogits: Bool
    /// Everything that `table` and `own` lie in.
    package let memory: Buffer
    /// See `parts`.
    let lastParts = Mutex<(pageByteCount: Int, parts: AdapterParts)?>(nil)

    package var rank: Int { shape.rank }
    /// Tokens that a sequence with it may have, and that its logits are of: perhaps not as many as the base's.
    package var vocabularySize: Int { shape.vocabularySize }
    package var targets: [AdapterFile.Target] { shape.targets }
    package var byteCount: Int { memory.byteCount }

    /// What a classifier makes of the last hidden states behind the final norm; nil for another adapter.
    package func scores(of states: [Float]) -> [Float]? {
        guard let scores = own?.scores, states.count == scores.columnCount else { return nil }
        return (0..<scores.rowCount).map { row in
            scores.withRow(row) { weights in
                Float(
                    weights.indices.reduce(0.0) { $0 + Double(weights[$1]) * Double(states[$1]) })
            }
        }
    }

    package var isClassifier: Bool { own?.scores != nil }

    /// The first position of a prompt where the adapter acts: 0 for most, else where the last occurrence
    /// of what invokes it begins, and `Int.max` when there is none. As PEFT has it, occurrences are
    /// whole ones, and in the prompt, not in what is generated.
    package func start(in prompt: [Int32]) -> Int {
        let invocation = shape.invocation
        guard !invocation.isEmpty else { return 0 }
        // Knuth, Morris and Pratt: for each count of tokens that fit, how many do after a mismatch.
        var shorter = [0, 0]
        for end in 1..<invocation.count {
            var count = shorter[end]
            while count > 0, invocation[count] != invocation[end] { count = shorter[count] }
            shorter.append(invocation[count] == invocation[end] ? count + 1 : 0)
        }
        var (count, start) = (0, Int.max)
        for (index, token) in prompt.enumerated() {
            while count > 0, count == invocation.count || invocation[count] != token {
                count = shorter[count]
            }
            if invocation[count] == token { count += 1 }
            if count == invocation.count { start = index + 1 - count }
        }
        return start
    }

    /// The place of a layer's site in the table.
    package static func update(layer: Int, _ site: Projection.Site) -> Int {
        layer * Projection.Site.count + site.rawValue
    }

    /// The place of the head, behind all layers.
    package static func headUpdate(_ base: ModelConfiguration) -> Int {
        update(layer: base.layerCount, .attentionInput)
    }

    /// The modules of each update, in the order of the table.
    static func updateTargets(of base: ModelConfiguration) -> [[AdapterFile.Target]] {
        (0..<base.layerCount).flatMap { layer in
            Projection.Site.allCases.map { site in
                site.projections.map { .projection(layer: layer, $0) }
            }
        } + [[.head]]
    }

    /// The place of a layer's router among what experts have.
    package static func routerUpdate(layer: Int, _ experts: Departures.Experts) -> Int {
        layer * (1 + 2 * experts.count)
    }

    /// The place of what an expert reads, or of what it makes of it.
    package static func expertUpdate(
        layer: Int, _ expert: Int, _ site: Projection.Site, _ experts: Departures.Experts
    ) -> Int {
        routerUpdate(layer: layer, experts) + 1 + 2 * expert
            + (site == .feedForwardOutput ? 1 : 0)
    }

    static func expertTargets(of base: ModelConfiguration) -> [[AdapterFile.Target]] {
        guard let experts = base.departures.experts else { return [] }
        return (0..<base.layerCount).flatMap { layer -> [[AdapterFile.Target]] in
            [[.router(layer: layer)]]
                + (0..<experts.count).flatMap { expert -> [[AdapterFile.Target]] in
                    [
                        [.expert(layer: layer, expert, .gate), .expert(layer: layer, expert, .up)],
                        [.expert(layer: layer, expert, .down)],
                    ]
                }
        }
    }

    /// Bytes that an adapter will take.
    package static func byteCount(
        of file: AdapterFile, base: Checkpoint, format: WeightFormat
    ) -> Int {
        let shape = AdapterShape(file, base: base.configuration)
        return AdapterLayout(shape, base: base.configuration, format: format).byteCount
    }

    /// Packs an adapter.
    ///
    /// - Parameters:
    ///   - base: needed for DoRA, whose norms are of the base's weights with the change added.
    ///   - format: f32, bf16 or q8.
    ///   - pace: called between pieces of the work.
    /// - Throws: `ModelFileError` with `non_finite_value` for a NaN or an infinity.
    package convenience init(
        _ file: AdapterFile, base: Checkpoint, format: WeightFormat, pace: () -> Void = {}
    ) throws(ModelFileError) {
        let shape = AdapterShape(file, base: base.configuration)
        let layout = AdapterLayout(shape, base: base.configuration, format: format)
        let memory = Buffer(byteCount: layout.byteCount)
        let (table, own) = (layout.table(in: memory), layout.ownWeights(in: memory))
        let expertTable = layout.expertTable(in: memory)
        do {
            let targets =
                DeviceAdapter.updateTargets(of: base.configuration)
                + DeviceAdapter.expertTargets(of: base.configuration)
            let updates = table.updates + (expertTable?.updates ?? [])
            for (update, targets) in zip(updates, targets) {
                pace()
                try update?.fill(from: file, targets: targets, base: base, pace: pace)
            }
            try own?.fill(from: file, base: base, pace: pace)
        } catch let error as NonFiniteValue {
            throw ModelFileError(.nonFiniteValue, "\(file.path): \(error)")
        } catch let error as ModelFileError {
            throw error
        } catch {
            throw ModelFileError(.malformedFile, "\(file.path): \(error)")
        }
        self.init(
            digest: AdapterDigest(of: file, pace: pace), shape: shape, text: file.text,
            isTokenized: file.isTokenized, baseModelName: file.baseModelName, table: table,
            expertTable: expertTable, own: own,
            memory: memory)
    }

    /// The same bytes under another digest: many adapters to a device, for measurements.
    package func copy(as digest: AdapterDigest) -> DeviceAdapter {
        DeviceAdapter(
            digest: digest, shape: shape, text: text, isTokenized: isTokenized,
            baseModelName: baseModelName, table: table, expertTable: expertTable, own: own,
            memory: memory)
    }

    init(
        digest: AdapterDigest, shape: AdapterShape, text: AdapterText?, isTokenized: Bool,
        baseModelName: String?, table: LowRankTable, expertTable: LowRankTable?, own: OwnWeights?,
        memory: Buffer
    ) {
        self.digest = digest
        self.shape = shape
        self.text = text
        self.isTokenized = isTokenized
        self.baseModelName = baseModelName
        self.table = table
        self.expertTable = expertTable
        self.own = own
        changesLogits =
            shape.parts[.head] != nil || own?.changesLogits == true || shape.hasOwnVocabulary
        self.memory = memory
    }
}
