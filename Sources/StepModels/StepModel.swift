package import Adapters
package import Tensors

/// What an engine needs of a model, whatever device it runs on: token rows in, logits out.
///
/// Not thread-safe: one owner calls it. A row's result depends on its own sequence and adapter alone, bit for bit.
package protocol StepModel: AnyObject {
    var vocabularySize: Int { get }
    /// What the host's side of choosing tokens runs on, and how many threads it has.
    var kernels: KernelSet { get }
    var memberCount: Int { get }

    /// Writes every row's keys and values into the cache, and computes the last hidden states of the
    /// rows whose logits are wanted: nothing reads those of the others.
    ///
    /// - Parameter wanted: rows of the batch, ascending.
    /// - Returns: what `logits` asks for.
    /// - Throws: `StepFailure` when the device cannot go on.
    func forward(_ batch: Batch, wanting wanted: [Int]) throws(StepFailure) -> WantedRows

    /// Logits of some of the rows that the last batch wanted, at most `mostLogitRows`.
    ///
    /// - Parameters:
    ///   - rows: counted over the wanted ones.
    ///   - wanted: of the last batch.
    ///   - peaksOnly: the logits themselves are not wanted, and the matrix holds nothing.
    /// - Returns: a matrix that the next call overwrites, and each row's largest logit.
    func logits(
        of rows: Range<Int>, in wanted: WantedRows, peaksOnly: Bool
    ) throws(StepFailure) -> (logits: Matrix, peaks: [LogitPeak])

    /// Last hidden states, behind the final norm, of some of the rows that the last batch wanted, at most `mostLogitRows`: what
    /// embeddings are made of.
    ///
    /// - Parameter rows: counted over the wanted ones.
    /// - Returns: a row for each, in 32 bits whatever the activations are in.
    func hiddenStates(of rows: Range<Int>, in wanted: WantedRows) throws(StepFailure) -> Matrix

    /// Calls `work` once for each number below `count`, spread over the threads.
    func forEach(_ count: Int, _ work: (_ member: Int, _ index: Int) -> Void)

    /// Memory that the cache takes when the first `blockCount` blocks have been used.
    func cacheByteCount(blockCount: Int) -> Int

    /// How a device's own memory is used; nil where it is the host's.
    var deviceUsage: DeviceUsage? { get }

    /// Tells which of the cache's blocks nobody has any more; a batch may have them again as new ones.
    func free(_ blocks: [Int32])

    /// Tells which adapters may stay on the device.
    func keep(_ adapters: Set<AdapterDigest>)

    /// Begins to bring adapters of the next step onto the device where they are not there. A step that does not
    /// wait leaves out those that are on their way; one that has them waits for them.
    ///
    /// - Returns: those that are on their way.
    /// - Throws: `StepFailure`, also for an adapter that has no place.
    func bring(_ adapters: [DeviceAdapter]) throws(StepFailure) -> Set<AdapterDigest>

    /// Waits until one more adapter that was on its way is there.
    func waitForAdapter() throws(StepFailure)
}

/// A model on a device that makes of logits what tokens are drawn by, so that most of it need not leave the device.
package protocol DrawingModel: StepModel {
    /// Of some of the rows that the last batch wanted, at most `mostLogitRows`: weights
    /// `exp((logit - maximum) · inverseTemperature)`, which stay on the device until the next logits or weights.
    ///
    /// - Parameters:
    ///   - rows: counted over the wanted ones.
    ///   - inverseTemperatures: one for each row; 0 where the peak is all that is wanted.
    /// - Returns: sums of each `KernelSet.sumBlock` weights of a row, which the next call overwrites, and each row's
    ///   largest logit.
    func weigh(
        _ rows: Range<Int>, in wanted: WantedRows, inverseTemperatures: [Float]
    ) throws(StepFailure) -> (sums: Matrix, peaks: [LogitPeak])

    /// Some blocks of the weights, `KernelSet.sumBlock` numbers each.
    ///
    /// - Parameter blocks: rows as `weigh` had them; at most all of them.
    /// - Returns: one after another; those beyond the vocabulary are 0.
    func weights(of blocks: [WeightBlock]) throws(StepFailure) -> [Float]
}

/// A row's weights of `KernelSet.sumBlock` tokens, from the `block`-th so many on.
package struct WeightBlock: Sendable {
    package var row: Int
    package var block: Int

    package init(row: Int, block: Int) {
        self.row = row
        self.block = block
    }
}

/// How the pool that cache and adapters share on a device is used.
package struct DeviceUsage: Sendable, Equatable {
    package var pageCount: Int
    package var freePageCount: Int
    /// Adapters brought onto the device so far, their bytes, and the time that it took.
    package var uploadCount = 0
    package var uploadByteCount = 0
    package var uploadSeconds = 0.0

    package init(pageCount: Int, freePageCount: Int) {
        self.pageCount = pageCount
        self.freePageCount = freePageCount
    }
}

/// Logit rows computed at a time.
package let mostLogitRows = 64

/// A step that was not computed. Without an adapter that it is about the device cannot go on, and nothing of its model can
/// be used any more.
package struct StepFailure: Error, Sendable, CustomStringConvertible {
    package let description: String
    /// What the device has no room for; everything else may go on.
    package let adapter: AdapterDigest?

    package init(_ description: String, adapter: AdapterDigest? = nil) {
        self.description = description
        self.adapter = adapter
    }
}
