"""What objects count as against ResourceQuotas, for admission, which charges, and the controller, which recounts.

Pure: structs in, amounts out. After k8s.io/kubernetes pkg/quota/v1 and k8s.io/apiserver/pkg/quota/v1.
"""
