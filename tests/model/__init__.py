"""An independent model of the API: its rules come from the contract of the service, never from the code here."""
