import Devices
import TestSupport
import Testing

/// Memory, uploads, and drivers that fail.
struct DeviceTests {
    static let values = (0..<5000).map { UInt32($0) &* 2_654_435_761 }

    /// Uploads through small pieces, copies back, and compares.
    static func roundTrip(_ kind: TestDevice) throws(DeviceError) -> Bool {
        // As a server has it: the way of guarded memory asks the driver for more.
        let device = try kind.open(guardsMemory: false)
        let upload = try DeviceUpload(device, byteCount: 1024)
        var arena = DeviceArena(device, largestPiece: 1 << 20, pieceByteCount: 1 << 15)
        let places = [
            try arena.place(4 * values.count), try arena.place(4 * values.count),
            try arena.place(64),
        ]
        for place in places.prefix(2) {
            try upload.copy(values, to: place.memory, at: place.offset)
        }
        let back = try DeviceBuffer(4 * values.count, on: .host, of: device)
        for place in places.prefix(2) {
            try device.submit { recorder in
                recorder.fill(back, with: 0)
                recorder.barrier()
                recorder.copy(
                    4 * values.count, from: place.memory, at: place.offset, to: back, at: 0)
                recorder.barrier()
            }
            try device.wait()
            guard back.read(UInt32.self, count: values.count) == values else { return false }
        }
        return true
    }

    @Test(arguments: TestDevice.all)
    func whatIsUploadedComesBack(_ device: TestDevice) throws {
        #expect(try Self.roundTrip(device))
    }

    @Test func whatNoPieceHoldsIsRefused() throws {
        var arena = DeviceArena(try TestDevice.cuda.open(), largestPiece: 1 << 16)
        #expect(throws: DeviceError.self) { _ = try arena.place(1 << 16 + 1) }
    }

    @Test(arguments: TestDevice.all)
    func aDeviceThatIsNotThereIsRefused(_ device: TestDevice) throws {
        let api = try device.open().description.identifier.api
        let error = #expect(throws: DeviceError.self) { _ = try Device(DeviceIdentifier(api, 99)) }
        #expect(error?.code == .noDevice)
        #expect(error?.message.contains("martlet devices") == true)
    }

    /// Whatever call of the driver fails, and however: an error, nothing worse, and the next try works.
    @Test(
        arguments: TestDevice.all,
        [
            (DeviceFault.lost, DeviceError.Code.lost), (.outOfMemory, .outOfMemory),
            (.failed, .failed),
        ])
    func aDriverThatFailsAtAnyCallGivesAnError(
        _ device: TestDevice, _ failure: (fault: DeviceFault, code: DeviceError.Code)
    ) throws {
        let (fault, code) = failure
        let count = try fault.strike(at: -1) { _ = try Self.roundTrip(device) }
        #expect(count > 60)
        var (tried, failed) = (0, 0)
        // Each time a driver is opened: a device that is lost at every call, the others at some.
        for call in stride(from: 0, to: count, by: code == .lost ? 1 : 7) {
            tried += 1
            do throws(DeviceError) {
                _ = try fault.strike(at: call) { () throws(DeviceError) in
                    #expect(try Self.roundTrip(device))
                }
                // Asked for an extension that it can do without.
            } catch {
                failed += 1
                #expect(error.code == code || error.code == .noDriver, "call \(call): \(error)")
            }
        }
        #expect(failed >= tried * 9 / 10)
        #expect(try Self.roundTrip(device))
    }

    @Test func devicesAreNamedAsTheyAreGiven() {
        #expect(DeviceIdentifier("cuda:1") == DeviceIdentifier(.cuda, 1))
        #expect(DeviceIdentifier("vulkan:0")?.description == "vulkan:0")
        for text in ["", "cuda", "cuda:", "cuda:-1", "cuda:x", "metal:0", "cuda:0:0", ":0"] {
            #expect(DeviceIdentifier(text) == nil, "\(text)")
        }
    }
}
