internal import Adapters
internal import CMartletDevices
internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// Takes down the kernels between last hidden states and logits.
struct HeadRecorder {
    let model: DeviceModel
    let recorder: Recorder
    /// Rows whose logits adapters change.
    let adapted: AdaptedRows
    let rowCount: Int
    let shrunk: DeviceRows
    let tokenLogits: DeviceRows

    private var element: DeviceElement { model.element }
    private var space: DeviceWorkspace { model.workspace }

    /// What the host has of a row's logits, beside their peaks.
    enum Use {
        case peaks
        case logits
        /// Sums of weights, which take the logits' place; with the address of each row's inverse temperature.
        case weights(UInt64)
    }

    /// - Parameter hidden: the first of the rows.
    func record(_ hidden: DeviceRows, for use: Use) throws(DeviceError) {
        let c = model.configuration
        recorder.norm(
            hidden, adding: nil, weight: model.weights.finalNorm,
            own: try adapted.norms(.finalNorm, rowCount: rowCount, model.arguments),
            count: c.hiddenSize, epsilon: c.normEpsilon, into: space.logitInput,
            rowCount: rowCount, element)
        recorder.barrier()
        recorder.product(
            space.logitInput, model.weights.head, into: space.logits, rowCount: rowCount,
            model.form, element)
        recorder.barrier()
        if adapted.chunkCount > 0 { try change(c) }
        let arguments = cmd_find_peaks(
            x: space.logits.address, peaks: space.hostPeaks.address, n: UInt32(c.vocabularySize),
            stride: UInt32(space.logits.stride))
        recorder.dispatch(CMD_FIND_PEAKS, element, arguments, grid: (rowCount, 1, 1))
        switch use {
        case .peaks: break
        case .logits:
            recorder.copy(
                rowCount * space.logits.stride * 4, from: space.logitMemory, to: space.hostLogits)
        case .weights(let inverses):
            recorder.barrier()
            let arguments = cmd_weigh(
                x: space.logits.address, peaks: space.hostPeaks.address, inverses: inverses,
                sums: space.hostSums.address, n: UInt32(c.vocabularySize),
                stride: UInt32(space.logits.stride), sum_stride: UInt32(space.blockCount),
                unused: 0)
            recorder.dispatch(
                CMD_WEIGH, element, arguments, grid: (space.blockCount, rowCount, 1))
        }
        recorder.barrier()
    }

    /// Heads, rows of heads and low-rank changes of heads that adapters bring.
    private func change(_ c: ModelConfiguration) throws(DeviceError) {
        for owner in adapted.owners {
            let first = owner.rows.lowerBound
            let (input, logits) = (space.logitInput.from(first), space.logits.from(first))
            if let head = owner.own.matrix(.head) {
                recorder.product(
                    input, owner.resident.panels(head), into: logits, rowCount: owner.rows.count,
                    model.form, element)
                recorder.barrier()
            }
            if let tokens = owner.own.headRows {
                let ordered = tokens.tokensOfRows.map(UInt32.init)
                recorder.product(
                    input, owner.resident.panels(tokens.rows), into: tokenLogits,
                    rowCount: owner.rows.count, model.form, element)
                recorder.barrier()
                recorder.scatter(
                    tokenLogits, places: try model.arguments.append(ordered),
                    count: ordered.count, into: logits, rowCount: owner.rows.count, element)
                recorder.barrier()
            }
        }
        let update = DeviceAdapter.headUpdate(c)
        let panelCount = adapted.panelCount(update)
        guard panelCount > 0 else { return }
        recorder.shrink(
            space.logitInput, words: model.weights.head.words, adapted, update: update,
            panelCount: panelCount, into: shrunk, element)
        recorder.barrier()
        recorder.expand(
            shrunk, adapted, update: update, outputs: [(0, c.vocabularySize)],
            into: space.logits, element)
        recorder.barrier()
    }
}
