"""The Nurse: contracts, policy, controls and the judgement."""
