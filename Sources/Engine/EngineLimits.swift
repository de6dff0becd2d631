package import Adapters
internal import Tensors

/// The engine's bounds.
package struct EngineLimits: Sendable {
    /// Sequences that may run at the same time.
    package var maximumSequences: Int
    /// Token rows of one step.
    package var maximumStepTokens: Int
    /// Of these, rows of prompts while other sequences decode and wait for the step to end.
    package var prefillTokensBesideDecode: Int { max(1, maximumStepTokens / 2) }
    /// Positions of the longest sequence.
    package var maximumContext: Int
    /// Blocks of the key/value cache.
    package var blockCount: Int
    /// Requests that may wait besides those that run.
    package var maximumWaiting: Int
    /// Blocks kept at most for sequences that begin with the same tokens; 0 keeps none.
    package var keptBlockCount: Int
    /// What adapters and blocks share on the device; nil when both have room enough.
    package var deviceMemory: DeviceMemory?
    /// Rows that a step may come to with drafts; 0 drafts nothing.
    package var draftRows = 0
    /// Positions of a cache block.
    package static let blockPositions = KeyValueCache.blockPositions

    /// - Precondition: the cache holds at least one sequence of the maximum length.
    package init(
        maximumSequences: Int, maximumStepTokens: Int, maximumContext: Int, blockCount: Int,
        maximumWaiting: Int, keptBlockCount: Int = 0, deviceMemory: DeviceMemory? = nil
    ) {
        precondition(
            maximumSequences > 0 && maximumStepTokens > 0
                && (deviceMemory?.blockFloor ?? blockCount) * KeyValueCache.blockPositions
                    >= maximumContext,
            "The cache must hold at least one sequence of the maximum length.")
        self.maximumSequences = maximumSequences
        self.maximumStepTokens = maximumStepTokens
        self.maximumContext = maximumContext
        self.blockCount = blockCount
        self.maximumWaiting = maximumWaiting
        self.keptBlockCount = keptBlockCount
        self.deviceMemory = deviceMemory
    }
}

/// The device's memory, which adapters and blocks of the cache share: what one does not use, the other
/// may, down to a floor for each.
package struct DeviceMemory: Sendable, Equatable {
    package var byteCount: Int
    package var blockByteCount: Int
    /// Bytes that adapters may always have.
    package var adapterFloor: Int
    /// Blocks that sequences may always have.
    package var blockFloor: Int
    /// On a device that hands its memory out in pages: what an adapter takes is whole pages.
    package var paging: Paging?

    package struct Paging: Sendable, Equatable {
        package var pageByteCount: Int
        /// Of the table that kernels read of an adapter.
        package var tableByteCount: Int
        /// Pages side by side at most.
        package var pagesPerPiece: Int

        package init(pageByteCount: Int, tableByteCount: Int, pagesPerPiece: Int) {
            self.pageByteCount = pageByteCount
            self.tableByteCount = tableByteCount
            self.pagesPerPiece = pagesPerPiece
        }

        func parts(of adapter: DeviceAdapter) -> AdapterParts {
            adapter.parts(pageByteCount: pageByteCount, tableByteCount: tableByteCount)
        }
    }

    /// Whether an adapter has a place when nothing else is there.
    package func holds(_ adapter: DeviceAdapter) -> Bool {
        guard byteCount(of: adapter) <= maximumAdapterByteCount else { return false }
        return paging.map { paging in
            paging.parts(of: adapter).parts.allSatisfy { $0.pageCount <= paging.pagesPerPiece }
        } ?? true
    }

    /// What an adapter takes.
    package func byteCount(of adapter: DeviceAdapter) -> Int {
        paging.map { $0.parts(of: adapter).pageCount * $0.pageByteCount } ?? adapter.byteCount
    }

    /// - Precondition: both floors fit.
    package init(
        byteCount: Int, blockByteCount: Int, adapterFloor: Int, blockFloor: Int,
        paging: Paging? = nil
    ) {
        precondition(
            blockByteCount > 0 && adapterFloor >= 0 && blockFloor >= 0
                && adapterFloor + blockFloor * blockByteCount <= byteCount,
            "The device is too small for both floors.")
        self.byteCount = byteCount
        self.blockByteCount = blockByteCount
        self.adapterFloor = adapterFloor
        self.paging = paging
        self.blockFloor = blockFloor
    }

    /// Bytes of the largest adapter: it must have room whatever sequences hold.
    package var maximumAdapterByteCount: Int { adapterFloor }

    /// Bytes that adapters may have while sequences hold so many blocks.
    func adapterBudget(heldBlockCount: Int) -> Int {
        byteCount - max(blockFloor, heldBlockCount) * blockByteCount
    }

    /// Blocks that may be in use while adapters take so many bytes.
    func blockLimit(adapterByteCount: Int) -> Int {
        (byteCount - max(adapterFloor, adapterByteCount)) / blockByteCount
    }
}
