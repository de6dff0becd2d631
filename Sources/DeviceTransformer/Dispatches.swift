internal import CMartletDevices
internal import Devices

/// A kernel's call as the passes write it.
extension Recorder {
    /// Groups of 64 threads that cover so many numbers.
    private func groups(_ count: Int) -> Int { (count + 63) / 64 }

    /// y = x · wᵀ for all outputs.
    func product(
        _ x: DeviceRows, _ w: DeviceWeights.Panels, into y: DeviceRows, rowCount: Int,
        _ form: ProductForm, _ element: DeviceElement
    ) {
        // The tiles' arguments are the same block.
        let arguments = cmd_product(
            w: w.address, x: x.address, y: y.address, rows: UInt32(rowCount),
            words: UInt32(w.words), panels: UInt32(w.panelCount), x_stride: UInt32(x.stride),
            y_stride: UInt32(y.stride), unused: 0)
        dispatch(
            form.kernel, element, arguments,
            grid: (
                (w.panelCount + 3) / 4, (rowCount + form.rowCount - 1) / form.rowCount, 1
            ))
    }

    /// y = norm(x + delta).
    ///
    /// - Parameter own: each row's weight in the base's place, or 0.
    func norm(
        _ x: DeviceRows, adding delta: DeviceRows?, weight: UInt64, own: UInt64, count: Int,
        epsilon: Float, into y: DeviceRows, rowCount: Int, _ element: DeviceElement
    ) {
        let arguments = cmd_norm(
            x: x.address, delta: delta?.address ?? 0, weight: weight, own: own, y: y.address,
            n: UInt32(count), epsilon: epsilon, x_stride: UInt32(x.stride),
            delta_stride: UInt32(delta?.stride ?? 0), y_stride: UInt32(y.stride))
        dispatch(CMD_RMS_NORM, element, arguments, grid: (rowCount, 1, 1))
    }

    /// y += x; x is one row for all when its stride is 0.
    func add(
        _ x: DeviceRows, to y: DeviceRows, count: Int, rowCount: Int, _ element: DeviceElement
    ) {
        let arguments = cmd_add(
            x: x.address, y: y.address, n: UInt32(count), x_stride: UInt32(x.stride),
            y_stride: UInt32(y.stride), unused: 0)
        dispatch(CMD_ADD, element, arguments, grid: (groups(count), rowCount, 1))
    }

    /// Some rows one after another, in 32-bit words.
    func gather(
        _ from: DeviceRows, rows: UInt64, count: Int, words: Int, into to: DeviceRows,
        _ element: DeviceElement
    ) {
        let arguments = cmd_gather(
            from: from.address, to: to.address, rows: rows, words: UInt32(words),
            from_stride: UInt32(from.stride), to_stride: UInt32(to.stride))
        dispatch(CMD_GATHER, element, arguments, grid: (count, 1, 1))
    }

    func gate(
        _ gate: DeviceRows, _ up: DeviceRows, count: Int, into y: DeviceRows, rowCount: Int,
        _ element: DeviceElement
    ) {
        let arguments = cmd_gated(
            gate: gate.address, up: up.address, y: y.address, n: UInt32(count),
            x_stride: UInt32(gate.stride), y_stride: UInt32(y.stride), unused: 0)
        dispatch(CMD_GATED, element, arguments, grid: (groups(count), rowCount, 1))
    }

    func scatter(
        _ x: DeviceRows, places: UInt64, count: Int, into y: DeviceRows, rowCount: Int,
        _ element: DeviceElement
    ) {
        let arguments = cmd_scatter(
            x: x.address, y: y.address, places: places, n: UInt32(count),
            x_stride: UInt32(x.stride), y_stride: UInt32(y.stride), unused: 0)
        dispatch(CMD_SCATTER, element, arguments, grid: (groups(count), rowCount, 1))
    }

    /// The rows' input times the A of each row's adapter.
    ///
    /// - Parameter words: of a row of the input.
    func shrink(
        _ x: DeviceRows, words: Int, _ adapted: AdaptedRows, update: Int, panelCount: Int,
        into shrunk: DeviceRows, _ element: DeviceElement
    ) {
        let arguments = cmd_shrink(
            chunks: adapted.chunks, x: x.address, shrunk: shrunk.address, update: UInt32(update),
            words: UInt32(words), x_stride: UInt32(x.stride), shrunk_stride: UInt32(shrunk.stride))
        dispatch(
            CMD_LOW_RANK_SHRINK, element, arguments, grid: (adapted.chunkCount, panelCount, 1))
    }

    /// Adds what comes of the shrunk rows to the projections of one input.
    ///
    /// - Parameter outputs: of up to three projections, with where they begin in `y`.
    func expand(
        _ shrunk: DeviceRows, _ adapted: AdaptedRows, update: Int,
        outputs: [(column: Int, count: Int)], into y: DeviceRows, _ element: DeviceElement
    ) {
        func pick(_ value: (Int) -> Int) -> (UInt32, UInt32, UInt32) {
            func at(_ index: Int) -> UInt32 { index < outputs.count ? UInt32(value(index)) : 0 }
            return (at(0), at(1), at(2))
        }
        let arguments = cmd_expand(
            chunks: adapted.chunks, shrunk: shrunk.address, y: y.address, update: UInt32(update),
            shrunk_stride: UInt32(shrunk.stride), y_stride: UInt32(y.stride),
            columns: pick { outputs[$0].column }, outputs: pick { outputs[$0].count })
        let most = outputs.reduce(0) { max($0, $1.count) }
        dispatch(
            CMD_LOW_RANK_EXPAND, element, arguments,
            grid: (adapted.chunkCount, groups(most), outputs.count))
    }
}
