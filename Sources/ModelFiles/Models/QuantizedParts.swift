internal import Tensors

extension Quantization {
    /// A file's tensors as they are taken, one module's after the other's.
    struct Parts {
        var module = ""
        /// Of the weights: outputs, inputs.
        var shape: [Int] = []
        let source: String
        var left: [String: StoredTensor]

        private var rows: Int { shape[0] }
        private var columns: Int { shape[1] }
    }
}

extension Quantization.Parts {
    private mutating func take(_ name: String) throws(ModelFileError) -> StoredTensor {
        guard let tensor = left.removeValue(forKey: "\(module).\(name)") else {
            throw ModelFileError(.missingTensor, "\(source): \(module).\(name) is missing")
        }
        return tensor
    }

    private mutating func takeIfThere(_ name: String) -> StoredTensor? {
        left.removeValue(forKey: "\(module).\(name)")
    }

    private func misfit(_ tensor: StoredTensor) -> ModelFileError {
        ModelFileError(
            .wrongShape,
            "\(source): tensor \(tensor.name) is \(tensor.type.rawValue) \(tensor.shape), which does not fit weights of \(shape) as quantization_config has them"
        )
    }

    private func codes(
        _ tensor: StoredTensor, _ packing: CodePacking, bits: Int, added: UInt32 = 0,
        _ rowCount: Int, _ columnCount: Int
    ) throws(ModelFileError) -> PackedCodes {
        guard
            let codes = PackedCodes(
                tensor, packing, bits: bits, added: added, rowCount: rowCount,
                columnCount: columnCount)
        else { throw misfit(tensor) }
        return codes
    }

    /// https://github.com/AutoGPTQ/AutoGPTQ and gptqmodel: words run along the inputs, zeros along the outputs.
    mutating func gptq(
        groupSize: Int, added: UInt32, isSymmetric: Bool, isReordered: Bool, bits: Int
    ) throws(ModelFileError) -> PackedNumbers {
        let size = groupSize == -1 ? columns : groupSize
        let groupCount = (columns - 1) / size + 1
        let (weights, scales) = (try take("qweight"), try take("scales"))
        let zeroTensor = try take("qzeros")
        guard columns % 32 == 0, rows % (32 / bits) == 0 else { throw misfit(weights) }
        let zeros = try codes(zeroTensor, .across, bits: bits, added: added, groupCount, rows)
        if isSymmetric {
            let middle: UInt32 = bits == 4 ? 0x8888_8888 : 0x8080_8080
            guard zeros.allWords(are: middle) else {
                // Readers differ: some take the file's zeros, some the middle.
                throw ModelFileError(
                    .malformedFile,
                    "\(source): sym is true, and \(zeroTensor.name) has zeros that are not the middle"
                )
            }
        }
        var order = takeIfThere("g_idx")
        if let tensor = order {
            guard tensor.type == .i32, tensor.shape == [columns], let groups = tensor.integers()
            else { throw misfit(tensor) }
            let isInOrder = groups.enumerated().allSatisfy { $0.element == $0.offset / size }
            guard isInOrder || isReordered,
                groups.allSatisfy({ (0..<groupCount).contains(Int($0)) })
            else {
                throw ModelFileError(
                    .malformedFile,
                    "\(source): \(tensor.name) is not in order although desc_act is false, or names groups that are not there"
                )
            }
            if isInOrder { order = nil }
        } else if isReordered, size != columns {
            throw ModelFileError(.missingTensor, "\(source): \(module).g_idx is missing")
        }
        guard
            let packed = PackedNumbers(
                codes: try codes(weights, .down, bits: bits, rows, columns), scales: scales,
                scalesAreTransposed: true, zeros: zeros, zerosAreByGroup: true, groupSize: size,
                order: order)
        else { throw misfit(scales) }
        return packed
    }

    /// https://github.com/casper-hansen/AutoAWQ, version gemm: words of eight outputs each.
    mutating func awq(groupSize: Int) throws(ModelFileError) -> PackedNumbers {
        let size = groupSize == -1 ? columns : groupSize
        let (weights, scales, zeros) = (
            try take("qweight"), try take("scales"), try take("qzeros")
        )
        guard columns % size == 0,
            let packed = PackedNumbers(
                codes: try codes(weights, .interleaved, bits: 4, rows, columns), scales: scales,
                scalesAreTransposed: true,
                zeros: try codes(zeros, .interleaved, bits: 4, rows, columns / size),
                groupSize: size)
        else { throw misfit(scales) }
        return packed
    }

    /// https://github.com/vllm-project/compressed-tensors. What inputs are rounded to when such a model runs is left alone.
    mutating func compressed(
        _ groups: [Quantization.CompressedGroup]
    ) throws(ModelFileError) -> PackedNumbers? {
        let words = takeIfThere("weight_packed")
        guard words != nil || [.i8, .f8_e4m3].contains(left["\(module).weight"]?.type) else {
            return nil
        }
        let weights = if let words { words } else { try take("weight") }
        if let sizes = takeIfThere("weight_shape") {
            guard sizes.shape == [2], sizes.integers() == shape else { throw misfit(sizes) }
        }
        let scales = try take("weight_scale")
        let zeros = takeIfThere("weight_zero_point")
        _ = takeIfThere("input_scale")
        _ = takeIfThere("input_zero_point")
        let isFloat = weights.type == .f8_e4m3
        let isNarrow = words?.shape.last == (columns - 1) / 8 + 1
        for group in groups
        where group.isFloat == isFloat && group.isSymmetric == (zeros == nil)
            && (words == nil || group.bits == (isNarrow ? 4 : 8))
        {
            guard let (rowsPerScale, size) = span(of: group.scales, in: scales) else { continue }
            var zero: Float = words == nil ? 0 : Float(1 << (group.bits - 1))
            var zeroCodes: PackedCodes?
            if let zeros, case .all = group.scales {
                // The library packs a single one like no other.
                guard zeros.type == .i8, zeros.shape.isEmpty || zeros.shape == [1],
                    let value: Int8 = zeros.file.integer(at: zeros.byteRange.lowerBound)
                else { throw misfit(zeros) }
                zero += Float(value)
            } else if let zeros {
                let groupCount = (columns - 1) / size + 1
                zeroCodes =
                    words == nil
                    ? try codes(zeros, .signedBytes, bits: 8, rows, groupCount)
                    : try codes(zeros, .down, bits: group.bits, groupCount, rows)
            }
            let packing: CodePacking = isFloat ? .floatBytes : words == nil ? .signedBytes : .across
            return try packed(
                try codes(weights, packing, bits: group.bits, rows, columns), scales,
                rowsPerScale, size, zeros: zeroCodes, zerosAreByGroup: words != nil, zero: zero)
        }
        throw misfit(scales)
    }

    /// transformers' fp8 and fbgemm_fp8: scales multiply, whatever they are called.
    mutating func fp8(_ allowed: [Quantization.Scales]) throws(ModelFileError) -> PackedNumbers? {
        guard left["\(module).weight"]?.type == .f8_e4m3 else { return nil }
        let weights = try take("weight")
        let inverse = takeIfThere("weight_scale_inv")
        let scales = if let inverse { inverse } else { try take("weight_scale") }
        for name in ["input_scale", "activation_scale", "input_scale_ub"] {
            _ = takeIfThere(name)
        }
        for kind in allowed {
            guard let (rowsPerScale, size) = span(of: kind, in: scales) else { continue }
            return try packed(
                try codes(weights, .floatBytes, bits: 8, rows, columns), scales, rowsPerScale, size)
        }
        throw misfit(scales)
    }

    private func packed(
        _ codes: PackedCodes, _ scales: StoredTensor, _ rowsPerScale: Int, _ groupSize: Int,
        zeros: PackedCodes? = nil, zerosAreByGroup: Bool = false, zero: Float = 0
    ) throws(ModelFileError) -> PackedNumbers {
        guard
            let packed = PackedNumbers(
                codes: codes, scales: scales, rowsPerScale: rowsPerScale, zeros: zeros,
                zerosAreByGroup: zerosAreByGroup, zero: zero, groupSize: groupSize)
        else { throw misfit(scales) }
        return packed
    }

    /// How many rows and columns share a scale; nil where the tensor has other scales.
    private func span(
        of kind: Quantization.Scales, in scales: StoredTensor
    ) -> (rows: Int, columns: Int)? {
        switch kind {
        case .all: scales.shape.isEmpty || scales.shape == [1] ? (rows, columns) : nil
        case .row: scales.shape == [rows, 1] ? (1, columns) : nil
        case .group(let size):
            size > 0 && columns % size == 0 && scales.shape == [rows, columns / size]
                ? (1, size) : nil
        case .block(let height, let width):
            scales.shape == [(rows - 1) / height + 1, (columns - 1) / width + 1]
                ? (height, width) : nil
        }
    }
}
