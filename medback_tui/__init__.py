"""medback's full-screen app: what is safe, which drive next, and getting everything back."""
