"""The store on a Valkey or Redis server, which several emulators may share."""
