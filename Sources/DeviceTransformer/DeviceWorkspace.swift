internal import Devices
internal import ModelFiles
internal import StepModels
internal import Tensors

/// Rows that kernels write: floats, or numbers as products read them.
struct DeviceRows {
    let address: UInt64
    /// From one row to the next: floats, or words of what products read.
    let stride: Int

    /// From some row on.
    func from(_ row: Int) -> DeviceRows {
        DeviceRows(address: address + UInt64(row * stride * 4), stride: stride)
    }

    /// From some float on.
    func from(column: Int) -> DeviceRows {
        DeviceRows(address: address + UInt64(column * 4), stride: stride)
    }
}

/// The rows that a step writes, sized once for the largest batch.
struct DeviceWorkspace {
    let hidden: DeviceRows
    /// Of the last layer, from where it goes on with the wanted rows alone.
    let lastHidden: DeviceRows
    /// What a norm leaves.
    let input: DeviceRows
    let projections: DeviceRows
    let attended: DeviceRows
    let lastAttended: DeviceRows
    let gateAndUp: DeviceRows
    let gated: DeviceRows
    /// What is to be added to the hidden states.
    let delta: DeviceRows
    let logitInput: DeviceRows
    let logits: DeviceRows
    /// The host's: logits or weights of tokens, peaks, sums of blocks of weights, and hidden states.
    let hostLogits: DeviceBuffer
    let hostPeaks: DeviceBuffer
    let hostSums: DeviceBuffer
    let hostHidden: DeviceBuffer
    /// Blocks of weights in a row.
    let blockCount: Int
    /// Logits on the device, for copies.
    let logitMemory: DeviceBuffer
    private let memory: [DeviceBuffer]

    init(
        _ weights: ModelWeights, element: DeviceElement, rowCount: Int, on device: Device
    ) throws(DeviceError) {
        let (c, layer) = (weights.configuration, weights.layers[0])
        var memory: [DeviceBuffer] = []
        /// Every number is NaN until a kernel writes it.
        func rows(_ count: Int, _ stride: Int) throws(DeviceError) -> DeviceRows {
            let own = try DeviceBuffer(count * stride * 4, on: .device, of: device)
            try device.submit { recorder in recorder.fill(own, with: UInt32.max) }
            memory.append(own)
            return DeviceRows(address: own.address, stride: stride)
        }
        func floats(_ columns: Int) -> Int { columns.roundedUp(toMultipleOf: Lanes.count) }
        hidden = try rows(rowCount, floats(c.hiddenSize))
        lastHidden = try rows(rowCount, floats(c.hiddenSize))
        delta = try rows(rowCount, floats(c.hiddenSize))
        input = try rows(rowCount, element.words(c.hiddenSize))
        projections = try rows(rowCount, layer.attentionInput.width)
        attended = try rows(rowCount, element.words(c.queryWidth))
        lastAttended = try rows(rowCount, element.words(c.queryWidth))
        gateAndUp = try rows(rowCount, layer.feedForwardInput.width)
        gated = try rows(rowCount, element.words(c.intermediateSize))
        logitInput = try rows(mostLogitRows, element.words(c.hiddenSize))
        blockCount =
            c.vocabularySize.roundedUp(toMultipleOf: KernelSet.sumBlock) / KernelSet.sumBlock
        logits = try rows(mostLogitRows, blockCount * KernelSet.sumBlock)
        logitMemory = memory[memory.count - 1]
        hostLogits = try DeviceBuffer(
            mostLogitRows * logits.stride * 4, on: .host, of: device)
        hostPeaks = try DeviceBuffer(mostLogitRows * 8, on: .host, of: device)
        hostSums = try DeviceBuffer(mostLogitRows * blockCount * 4, on: .host, of: device)
        hostHidden = try DeviceBuffer(mostLogitRows * c.hiddenSize * 4, on: .host, of: device)
        self.memory = memory
    }
}
